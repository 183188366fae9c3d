//! The thin path, by real processes in live mode: from CSV files to mails, to what comes back, to the new grade and the story.

use std::net::TcpListener;

use kith::sandbox::smtp::Record;
use mail_parser::MessageParser;
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::process::{Workshop, live};
use crate::rig::{Files, until};

/// The shipped cadence of B leads in quick motion: the prices at once, and one more mail soon after.
const B_TO_A: &str = r#"
name = "b-to-a"
title = "B in quick motion"
subject = "lead"
priority = 30
[entry]
on_grade = ["B"]
audience = { fact = "lead.open", is = true }
reentry = { after = "90d" }
[exit]
goal = { fact = "lead.grade", is = "A" }
[[steps]]
key = "pricing"
channel = "email"
template = "b-pricing"
function = "transaction"
[[steps]]
key = "value"
channel = "email"
template = "b-value"
function = "information"
wait = "20s"
"#;

const FILES: [(&str, &str); 4] = [
    ("owners", "external_id,name,email\no-1,Li Wei,li@seller.example\n"),
    (
        "organisations",
        "external_id,name,region\norg-1,Blue Harbour,US\norg-2,Red Mill,US\norg-3,Grey Hill,US\n",
    ),
    (
        "contacts",
        "external_id,name,email,locale,timezone,organisation,decision_maker,owner,consent_email\n\
         ann,Ann Chen,ann@blue.example,en,UTC,org-1,yes,o-1,yes\n\
         bob,Bob Sun,bob@blue.example,en,UTC,org-1,no,o-1,yes\n\
         cal,Cal Wu,cal@red.example,en,UTC,org-2,yes,o-1,yes\n\
         dan,Dan Ott,dan@grey.example,en,UTC,org-3,yes,o-1,yes\n",
    ),
    (
        "leads",
        "external_id,contact,organisation,owner,grade,product\n\
         l-1,ann,org-1,o-1,B,Crane control\n\
         l-2,cal,org-2,o-1,B,Mill control\n\
         l-3,dan,org-3,o-1,B,Hill control\n",
    ),
];

/// A mail that arrived.
struct Mail {
    id: Uuid,
    /// Address in List-Unsubscribe.
    unsubscribe: String,
    html: String,
}

impl Mail {
    fn read(record: &Record) -> Self {
        let bytes = record.bytes.as_deref().unwrap();
        let parsed = MessageParser::new().parse(bytes).unwrap();
        let header = parsed.header_raw("List-Unsubscribe").unwrap().trim().to_owned();
        assert_eq!(
            parsed.header_raw("List-Unsubscribe-Post").unwrap().trim(),
            "List-Unsubscribe=One-Click"
        );
        Self {
            id: record.message_id.split_once('@').unwrap().0.parse().unwrap(),
            unsubscribe: header.trim_matches(['<', '>']).to_owned(),
            html: parsed.body_html(0).unwrap().into_owned(),
        }
    }

    /// The tracked address behind a text.
    fn link(&self, text: &str) -> String {
        let (before, _) = self.html.split_once(text).unwrap();
        let (_, from) = before.rsplit_once("href=\"").unwrap();
        from.split_once('"').unwrap().0.to_owned()
    }
}

fn to(workshop: &Workshop, address: &str) -> Vec<Mail> {
    let log = workshop.server.log();
    log.iter()
        .filter(|r| r.stored && r.rcpt == [address])
        .map(Mail::read)
        .collect()
}

async fn arrived(workshop: &Workshop, address: &str, count: usize) -> Vec<Mail> {
    until(&format!("mail {count} to {address}"), async || {
        Some(to(workshop, address)).filter(|mails| mails.len() >= count)
    })
    .await
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_csv_to_a_new_grade_and_its_story() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (public, admin) = (free_port(), free_port());
    let workshop = Workshop::with(true, |smtp| {
        let kith = live(smtp).replace("contact = [{ n = 1, per = \"1d\" }]", "contact = []");
        let listen = format!(
            "[listen]\npublic = \"127.0.0.1:{public}\"\nadmin = \"127.0.0.1:{admin}\"\n\
             public_url = \"http://127.0.0.1:{public}\"\n"
        );
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/cadences/a-close-in.toml");
        let cadences = [
            ("b-to-a".to_owned(), B_TO_A.to_owned()),
            ("a-close-in".to_owned(), std::fs::read_to_string(shipped).unwrap()),
        ];
        Files::write(&(listen + &kith), &cadences).with_shipped_templates()
    })
    .await;
    for (kind, text) in FILES {
        let file = workshop.file(&format!("{kind}.csv"), text);
        workshop.done(&["import", kind, &file, "--source", "crm"]);
    }
    let api_token = workshop.done(&["token", "create", "crm"]).trim().to_owned();
    workshop.done(&["apply"]);
    let daemon = workshop.run_with_web();

    // The mails arrive: both people of the first lead, one each of the others.
    let ann = arrived(&workshop, "ann@blue.example", 1).await.remove(0);
    arrived(&workshop, "bob@blue.example", 1).await;
    let cal = arrived(&workshop, "cal@red.example", 1).await.remove(0);
    arrived(&workshop, "dan@grey.example", 1).await;

    // Looking at the page of the unsubscribe link changes nothing; the POST of a mail program does.
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let suppressed = "select count(*) from suppression where reason = 'opted-out'";
    let page = http.get(&cal.unsubscribe).send().await.unwrap();
    assert_eq!(
        (page.status(), workshop.count(suppressed).await),
        (StatusCode::OK, 0)
    );
    let post = http
        .post(&cal.unsubscribe)
        .header("content-type", "application/x-www-form-urlencoded");
    let ended = post.body("List-Unsubscribe=One-Click").send().await.unwrap();
    assert_eq!(
        (ended.status(), workshop.count(suppressed).await),
        (StatusCode::OK, 1)
    );

    // A click on the prices by a person in a browser, and an answer that another system reports.
    let click = http.get(ann.link("See the prices")).header(
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    );
    let click = click.send().await.unwrap();
    assert!(click.status().is_redirection(), "{}", click.status());
    assert_eq!(click.headers()["location"], "https://www.example.com/pricing");
    let reply = json!([{
        "id": "reply-1", "type": "replied", "message": ann.id,
        "data": { "intent": "price", "text": "What would it cost for a team of ours?" }
    }]);
    let events = format!("http://127.0.0.1:{admin}/v1/events");
    let refused = http.post(&events).json(&reply).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let taken = http
        .post(&events)
        .bearer_auth(&api_token)
        .json(&reply)
        .send()
        .await
        .unwrap();
    let (status, text) = (taken.status(), taken.text().await.unwrap());
    assert!(
        status.is_success() && text.contains("accepted"),
        "{status} {text}"
    );

    // The lead is an A now, and its owner has a task.
    until("the lead is an A and its owner has a task", async || {
        let there = "select count(*) from lead l
                     join enrollment e on e.lead_id = l.id and e.cadence = 'a-close-in' and e.state = 'active'
                     join task k on k.lead_id = l.id and k.kind = 'touch' and k.state = 'open'
                     join owner o on o.id = k.owner_id
                     where l.external_id = 'l-1' and l.grade = 'A' and o.external_id = 'o-1'";
        (workshop.count(there).await == 1).then_some(())
    })
    .await;
    let live = "select count(*) from enrollment e join lead l on l.id = e.lead_id
                where l.external_id = 'l-1' and e.cadence = 'b-to-a' and e.state = 'active'";
    assert_eq!(
        workshop.count(live).await,
        0,
        "b-to-a ended for all contacts of the lead"
    );
    assert!(workshop.done(&["tasks", "--owner", "o-1"]).contains("Ann Chen"));

    // The next mail goes to the one who neither answered nor opted out.
    arrived(&workshop, "dan@grey.example", 2).await;
    until("no mail waits", async || {
        let waiting = "select count(*) from queue where channel = 'email'";
        (workshop.count(waiting).await == 0).then_some(())
    })
    .await;
    for silent in ["ann@blue.example", "bob@blue.example", "cal@red.example"] {
        assert_eq!(to(&workshop, silent).len(), 1, "{silent}");
    }

    let story = workshop.done(&["explain", "ann@blue.example"]);
    let told = [
        "Recorded as crm:ann",
        "Lead l-1 went from ungraded to B",
        "Entered b-to-a for lead l-1",
        "(b-to-a/pricing): accepted",
        "Clicked the pricing link",
        "Replied “What would it cost for a team of ours?”",
        "b-to-a stopped: they answered",
        "Lead l-1 went from B to A, because of “clicked the pricing link”",
        "Entered a-close-in for lead l-1",
        "Task for Li Wei",
    ];
    let mut from = 0;
    for part in told {
        let found = story[from..].find(part);
        assert!(found.is_some(), "{part:?} is missing, or too early, in:\n{story}");
        from += found.unwrap();
    }
    let other = workshop.done(&["explain", "cal"]);
    assert!(
        other.contains("opted out") || other.contains("Opted out"),
        "{other}"
    );
    assert!(daemon.leave().await.success());
    let findings = workshop.judge().await;
    assert!(findings.is_clean(), "{findings:?}");
}
