//! The gate's rules, each by its reason.

use chrono::TimeZone as _;
use proptest::prelude::*;

use super::*;

fn rules() -> GateRules {
    crate::config::Settings::defaults().unwrap().gate
}

fn tuesday(hour: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2027, 3, 2, hour, 0, 0).unwrap()
}

fn facts() -> Facts<'static> {
    Facts {
        channel: ChannelKind::Email,
        class: Class::Marketing,
        zone: Tz::UTC,
        expires_at: tuesday(10) + TimeDelta::days(30),
        contact: "c".to_owned(),
        account: Some("a".to_owned()),
        has_address: true,
        consent: Some(true),
        suppressed: None,
        preferred_channel: None,
        merged: false,
        not_fit: false,
        lead_closed: false,
        enrolled: true,
        grievance: false,
        leave_until: None,
        colleague_first: false,
        to_contact: &[],
        to_account: &[],
        brake: false,
        not_on_list: false,
        carrier: None,
    }
}

fn reason(facts: &Facts<'_>, now: DateTime<Utc>) -> (&'static str, Option<DateTime<Utc>>) {
    match judge(facts, &rules(), None, now) {
        Verdict::Clear(..) => ("clear", None),
        Verdict::Hold(reason, until) => (reason.as_str(), Some(until)),
        Verdict::Skip(reason) => (reason.as_str(), None),
    }
}

#[test]
fn a_plain_touch_is_cleared_and_charges_its_caps() {
    let Verdict::Clear(_, charges) = judge(&facts(), &rules(), None, tuesday(10)) else {
        panic!("held")
    };
    assert!(
        charges
            .iter()
            .any(|c| c.kind == "account" && c.key == "a" && c.n == 1)
    );
    assert!(charges.iter().any(|c| c.kind == "contact" && c.key == "c"));
}

#[test]
fn what_forbids_for_good_comes_before_what_puts_off() {
    let cases: [(&str, Facts<'static>); 8] = [
        (
            "ended",
            Facts {
                enrolled: false,
                ..facts()
            },
        ),
        (
            "merged",
            Facts {
                merged: true,
                ..facts()
            },
        ),
        (
            "not-fit",
            Facts {
                not_fit: true,
                ..facts()
            },
        ),
        (
            "lead-closed",
            Facts {
                lead_closed: true,
                ..facts()
            },
        ),
        (
            "opted-out",
            Facts {
                suppressed: Some("opted-out"),
                ..facts()
            },
        ),
        (
            "no-address",
            Facts {
                has_address: false,
                ..facts()
            },
        ),
        (
            "no-consent",
            Facts {
                consent: None,
                ..facts()
            },
        ),
        (
            "prefers-phone",
            Facts {
                preferred_channel: Some("phone"),
                ..facts()
            },
        ),
    ];
    for (wanted, case) in cases {
        let held_too = Facts {
            brake: true,
            grievance: true,
            ..case
        };
        assert_eq!(reason(&held_too, tuesday(3)), (wanted, None));
    }
    assert_eq!(reason(&facts(), facts().expires_at), ("expired", None));
}

#[test]
fn a_task_for_a_colleague_minds_no_hours_and_no_caps() {
    let task = Facts {
        channel: ChannelKind::Task,
        consent: None,
        has_address: false,
        ..facts()
    };
    assert_eq!(reason(&task, tuesday(3)).0, "clear");
    assert_eq!(reason(&Facts { brake: true, ..task }, tuesday(3)).0, "brake");
}

#[test]
fn quiet_hours_end_when_the_window_opens() {
    let (word, until) = reason(&facts(), tuesday(3));
    assert_eq!(word, "quiet-hours");
    let until = until.unwrap();
    assert!(until > tuesday(3) && until < tuesday(12));
    assert_eq!(reason(&facts(), until).0, "clear");
}

#[test]
fn a_colleague_written_to_today_puts_off_to_another_day() {
    let sent = [tuesday(9)];
    let (word, until) = reason(
        &Facts {
            to_account: &sent,
            ..facts()
        },
        tuesday(10),
    );
    assert_eq!(word, "colleague");
    assert!(until.unwrap().date_naive() > tuesday(10).date_naive());
    let first = Facts {
        colleague_first: true,
        ..facts()
    };
    assert_eq!(reason(&first, tuesday(10)).0, "colleague");
    let alone = Facts {
        account: None,
        ..first
    };
    assert_eq!(reason(&alone, tuesday(10)).0, "clear");
}

#[test]
fn a_senders_own_window_and_caps_hold_besides_the_channels() {
    let window = SendWindow::parse("10:30-22:00").unwrap();
    let caps = [Cap {
        n: 1,
        per: Period::parse("1h").unwrap(),
    }];
    let with = |window, sent: &'static [DateTime<Utc>]| Facts {
        carrier: Some(Carrier {
            window,
            per_number: &caps,
            key: "text:h".to_owned(),
            sent,
        }),
        ..facts()
    };
    let verdict = judge(&with(None, &[]), &rules(), None, tuesday(10));
    let Verdict::Clear(_, charges) = verdict else {
        panic!("held")
    };
    assert!(
        charges
            .iter()
            .any(|c| c.kind == "number" && c.key == "text:h" && c.n == 1)
    );
    let (word, until) = reason(
        &Facts {
            carrier: Some(Carrier {
                window: Some(&window),
                per_number: &[],
                key: String::new(),
                sent: &[],
            }),
            ..facts()
        },
        tuesday(10),
    );
    assert_eq!(
        (word, until),
        ("quiet-hours", Some(tuesday(10) + TimeDelta::minutes(30)))
    );
    let sent: &'static [DateTime<Utc>] = vec![tuesday(10) - TimeDelta::minutes(20)].leak();
    assert_eq!(
        reason(&with(None, sent), tuesday(10)),
        ("cap", Some(tuesday(10) + TimeDelta::minutes(40)))
    );
    assert_eq!(
        reason(&with(None, sent), tuesday(10) + TimeDelta::minutes(41)).0,
        "clear"
    );
}

#[test]
fn care_and_what_is_owed_pass_where_marketing_waits() {
    let grievance = Facts {
        grievance: true,
        ..facts()
    };
    assert_eq!(reason(&grievance, tuesday(10)).0, "grievance");
    let owed = Facts {
        class: Class::Transactional,
        ..grievance
    };
    assert_eq!(reason(&owed, tuesday(10)).0, "clear");
    let left = Facts {
        leave_until: Some(tuesday(10).date_naive() + Days::new(3)),
        ..facts()
    };
    let (word, until) = reason(&left, tuesday(10));
    assert_eq!(
        (word, until.unwrap().date_naive()),
        ("leave-to-me", tuesday(10).date_naive() + Days::new(3))
    );
}

proptest! {
    /// Whatever was sent before, a hold ends later than now, and at its end the same reason does not hold for ever:
    /// going from hold to hold leads to a clearance within the longest cap.
    #[test]
    fn holds_end(hours_ago in proptest::collection::vec(0i64..24 * 40, 0..12), hour in 0u32..24) {
        let now = tuesday(hour);
        let mut ring: Vec<DateTime<Utc>> = hours_ago.iter().map(|h| now - TimeDelta::hours(*h)).collect();
        ring.sort_unstable_by(|a, b| b.cmp(a));
        let facts = Facts { to_contact: &ring, account: None, expires_at: now + TimeDelta::days(400), ..facts() };
        let mut at = now;
        for _ in 0..50 {
            match judge(&facts, &rules(), None, at) {
                Verdict::Clear(_, charges) => {
                    for charge in charges {
                        prop_assert!(ring.iter().filter(|sent| **sent > charge.since).count() < charge.n as usize);
                    }
                    return Ok(());
                }
                Verdict::Hold(_, until) => {
                    prop_assert!(until > at);
                    at = until;
                }
                Verdict::Skip(reason) => prop_assert!(false, "skipped: {reason:?}"),
            }
        }
        prop_assert!(false, "never cleared");
    }
}
