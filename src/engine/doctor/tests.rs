//! The one line, case by case.

use super::*;
use crate::domain::sender_pause::after_block;
use crate::store::report::Count;
use crate::store::sender_state::Paused;
use crate::store::status::{DaemonRow, QueueDepth};

fn healthy() -> (Case, Status, Settings) {
    let case = Case {
        rules_ok: true,
        off: TimeDelta::zero(),
        bound_elsewhere: false,
        contacts: 5,
        no_sender: false,
    };
    let at = "2027-01-04T02:00:00Z".parse().unwrap();
    let daemon = DaemonRow {
        id: uuid::Uuid::nil(),
        host: "h".into(),
        pid: 1,
        version: "0".into(),
        roles: vec!["all".into()],
        mode: Mode::Sandbox,
        started_at: at,
        silent_secs: 1.0,
    };
    let status = Status {
        now: at,
        simulated: false,
        running: Running {
            alive: 1,
            mode: "sandbox",
            modes: [(Mode::Sandbox, 1)].into(),
            configured_mode: Mode::Sandbox,
        },
        brake: false,
        brake_reason: None,
        brake_at: None,
        daemons: vec![daemon],
        queue: QueueDepth {
            live: 0,
            due: 0,
            in_hand: 0,
            held: 0,
            next_due_at: None,
            active: 0,
            next_look_at: None,
            parked: 0,
        },
        held: Vec::new(),
        paused: Vec::new(),
        today: Vec::new(),
        uncertain: 0,
        uncertain_since: None,
        last_sent_at: None,
        zone: chrono_tz::Asia::Shanghai,
    };
    (case, status, Settings::defaults().unwrap())
}

#[test]
fn the_brake_comes_first_and_then_the_daemon() {
    let (mut case, mut status, settings) = healthy();
    status.brake = true;
    status.brake_reason = Some("wrong price".into());
    status.running.alive = 0;
    assert_eq!(
        case.why(&status, &settings).text,
        "The brake is on (wrong price): `kith brake off` lifts it."
    );
    status.brake = false;
    assert!(
        case.why(&status, &settings)
            .text
            .starts_with("No daemon is alive (one was last heard of 1 s ago)")
    );
    status.daemons[0].roles = vec!["web".into()];
    assert!(
        case.why(&status, &settings)
            .text
            .starts_with("Pages are served, but no daemon works")
    );
    case.contacts = 0;
    assert!(
        case.why(&status, &settings)
            .text
            .starts_with("There are no contacts")
    );
}

#[test]
fn what_is_held_is_named_with_its_reason() {
    let (case, mut status, settings) = healthy();
    status.queue.held = 3;
    status.queue.next_due_at = Some("2027-01-05T00:30:00Z".parse().unwrap());
    status.held = vec![Count {
        name: "quiet-hours".into(),
        n: 2,
    }];
    let why = case.why(&status, &settings);
    assert!(!why.blocked);
    assert_eq!(
        why.text,
        "All 3 touches that are due are held, most for quiet-hours (2); the next is looked at 2027-01-05 08:30. \
         0 sent today. Mode is sandbox: it goes to the sandbox, and nothing leaves this machine."
    );
}

#[test]
fn a_blocked_sender_is_named() {
    let (case, mut status, settings) = healthy();
    let at = status.now;
    status.paused = vec![Paused {
        sender: "mail".into(),
        pause: after_block(None, at).unwrap(),
        reason: "550 5.7.1 block list".into(),
    }];
    let why = case.why(&status, &settings).text;
    assert!(why.contains("Sender mail is blocked"), "{why}");
    let told = paused(&status).next().unwrap().to_string();
    assert_eq!(
        told,
        "WRONG   sender: mail is blocked and left alone until 2027-01-04 10:05; its touches wait. \
         The reply: 550 5.7.1 block list"
    );
}

#[test]
fn nothing_due_says_when_something_will_be() {
    let (case, mut status, settings) = healthy();
    status.queue.next_look_at = Some("2027-02-01T00:00:00Z".parse().unwrap());
    status.queue.active = 7;
    assert!(
        case.why(&status, &settings)
            .text
            .starts_with("Nothing is due before 2027-02-01 08:00; 7 enrollments")
    );
}
