//! Audiences: what a condition picks, and for whom a guard holds.

use chrono::{DateTime, Utc};
use chrono_tz::Asia::Shanghai;
use kith::domain::cadence::Subject;
use kith::domain::condition::Condition;
use kith::domain::fact::{FACTS, FactType};
use kith::store::audience::{Member, holding, members};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::harness::TestDb;

fn now() -> DateTime<Utc> {
    "2026-05-10T04:00:00Z".parse().unwrap()
}

fn condition(json: &str) -> Condition {
    serde_json::from_str(json).unwrap()
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// Accounts 1 (an organisation, VIP, with contacts 11 to 13) and 2 (a person, suspect, contact 2); leads 101 (grade B, of
/// 11 and 12), 102 (ungraded, of 2) and 103 (given up, of 11).
async fn fixture() -> TestDb {
    let db = TestDb::new().await;
    sqlx::raw_sql(
        "insert into source (name) values ('t');
         insert into account (id, shard, kind, name, standing, last_purchase_at) values
           ('00000000-0000-0000-0000-000000000001', 0, 'organisation', 'one', 'vip', '2026-01-01'),
           ('00000000-0000-0000-0000-000000000002', 0, 'person', 'two', 'suspect', null);
         insert into contact (id, shard, account_id, name, email, decision_maker, merged_into, attrs, next_birthday_on) values
           ('00000000-0000-0000-0000-00000000000b', 0, '00000000-0000-0000-0000-000000000001', 'a', 'a@x.example', false, null, '{\"hobby\": \"go\"}', '2026-05-12'),
           ('00000000-0000-0000-0000-00000000000c', 0, '00000000-0000-0000-0000-000000000001', 'b', 'b@x.example', true, null, '{}', '2026-05-09'),
           ('00000000-0000-0000-0000-00000000000d', 0, '00000000-0000-0000-0000-000000000001', 'c', 'c@x.example', true, '00000000-0000-0000-0000-00000000000c', '{}', null),
           ('00000000-0000-0000-0000-000000000002', 0, '00000000-0000-0000-0000-000000000002', 'd', null, null, null, '{}', null);
         insert into lead (id, shard, account_id, source_id, external_id, grade, value, not_fit, expected_on) values
           ('00000000-0000-0000-0000-000000000065', 0, '00000000-0000-0000-0000-000000000001', 1, 'l1', 'B', 5000, null, '2026-05-20'),
           ('00000000-0000-0000-0000-000000000066', 0, '00000000-0000-0000-0000-000000000002', 1, 'l2', null, null, null, null),
           ('00000000-0000-0000-0000-000000000067', 0, '00000000-0000-0000-0000-000000000001', 1, 'l3', 'B', 9000, 'too small', null);
         insert into lead_contact (lead_id, contact_id) values
           ('00000000-0000-0000-0000-000000000065', '00000000-0000-0000-0000-00000000000b'),
           ('00000000-0000-0000-0000-000000000065', '00000000-0000-0000-0000-00000000000c'),
           ('00000000-0000-0000-0000-000000000066', '00000000-0000-0000-0000-000000000002'),
           ('00000000-0000-0000-0000-000000000067', '00000000-0000-0000-0000-00000000000b');
         insert into purchase (account_id, at, id, source_id, external_id, amount, currency) values
           ('00000000-0000-0000-0000-000000000001', '2026-01-01', gen_random_uuid(), 1, 'p1', 10, 'CNY'),
           ('00000000-0000-0000-0000-000000000001', '2025-01-01', gen_random_uuid(), 1, 'p2', 10, 'CNY');
         insert into event (id, occurred_at, received_at, type, contact_id, human, source, data) values
           (gen_random_uuid(), '2026-05-01', '2026-05-01', 'clicked', '00000000-0000-0000-0000-00000000000b', true, 't', '{\"tag\": \"pricing\"}'),
           (gen_random_uuid(), '2026-05-02', '2026-05-02', 'clicked', '00000000-0000-0000-0000-00000000000b', true, 't', '{}'),
           (gen_random_uuid(), '2026-05-02', '2026-05-02', 'clicked', '00000000-0000-0000-0000-00000000000c', false, 't', '{\"tag\": \"pricing\"}'),
           (gen_random_uuid(), '2026-05-11', '2026-05-11', 'replied', '00000000-0000-0000-0000-00000000000b', true, 't', '{}');",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    db
}

async fn picked(connection: &mut PgConnection, subject: Subject, json: &str) -> Vec<(u128, Option<u128>)> {
    let found = members(connection, &condition(json), subject, now(), Shanghai, None, 100)
        .await
        .unwrap();
    found
        .iter()
        .map(|m| (m.contact_id.as_u128(), m.lead_id.map(|lead| lead.as_u128())))
        .collect()
}

#[tokio::test]
async fn conditions_pick_whom_they_describe() {
    let db = fixture().await;
    let mut connection = db.pool.acquire().await.unwrap();
    let both = vec![(11, Some(101)), (12, Some(101))];
    for (json, expected) in [
        (r#"{"fact":"lead.grade","in":["A","B"]}"#, both.clone()),
        (r#"{"not":{"fact":"lead.grade","is":"B"}}"#, vec![(2, Some(102))]),
        (r#"{"fact":"lead.grade","known":false}"#, vec![(2, Some(102))]),
        (r#"{"fact":"lead.value","at_least":5000}"#, both.clone()),
        (r#"{"fact":"lead.value","below":5000}"#, vec![]),
        (
            r#"{"all":[{"fact":"lead.open","is":true},{"fact":"contact.decision_maker","is":true}]}"#,
            vec![(12, Some(101))],
        ),
        (
            r#"{"fact":"lead.expected_on","days_until_at_most":10}"#,
            both.clone(),
        ),
        (r#"{"fact":"lead.expected_on","days_until_at_most":9}"#, vec![]),
        (
            r#"{"fact":"contact.next_birthday_on","days_until_at_most":3}"#,
            vec![(11, Some(101))],
        ),
        (
            r#"{"fact":"contact.attr.hobby","is":"go"}"#,
            vec![(11, Some(101))],
        ),
        (
            r#"{"fact":"account.last_purchase_at","older_than":"100d"}"#,
            both.clone(),
        ),
        (r#"{"fact":"account.last_purchase_at","within":"100d"}"#, vec![]),
        (r#"{"fact":"account.purchases","at_least":2}"#, both),
        (
            r#"{"event":"clicked","within":"30d","at_least":2}"#,
            vec![(11, Some(101))],
        ),
        (
            r#"{"event":"clicked","within":"30d","tag":"pricing"}"#,
            vec![(11, Some(101))],
        ),
        (r#"{"event":"clicked","within":"8d","tag":"pricing"}"#, vec![]),
        (r#"{"event":"replied","within":"30d"}"#, vec![]),
        (
            r#"{"not":{"event":"clicked","within":"30d"}}"#,
            vec![(2, Some(102)), (12, Some(101))],
        ),
        (
            r#"{"any":[{"fact":"account.kind","is":"person"},{"event":"clicked","within":"30d"}]}"#,
            vec![(2, Some(102)), (11, Some(101))],
        ),
    ] {
        assert_eq!(
            picked(&mut connection, Subject::Lead, json).await,
            expected,
            "{json}"
        );
    }
}

#[tokio::test]
async fn an_account_sends_its_person_of_most_influence() {
    let db = fixture().await;
    let mut connection = db.pool.acquire().await.unwrap();
    let all = r#"{"fact":"account.standing","known":true}"#;
    assert_eq!(
        picked(&mut connection, Subject::Account, all).await,
        [(12, None), (2, None)]
    );
    assert_eq!(
        picked(&mut connection, Subject::Contact, all).await,
        [(2, None), (11, None), (12, None)]
    );
}

#[tokio::test]
async fn members_come_in_parts_without_gap_or_repeat() {
    let db = fixture().await;
    let mut connection = db.pool.acquire().await.unwrap();
    let all = condition(r#"{"fact":"account.standing","known":true}"#);
    for subject in [Subject::Lead, Subject::Contact, Subject::Account] {
        let whole = members(&mut connection, &all, subject, now(), Shanghai, None, 100)
            .await
            .unwrap();
        let mut parts: Vec<Member> = Vec::new();
        loop {
            let last = parts.last().copied();
            let next = members(&mut connection, &all, subject, now(), Shanghai, last.as_ref(), 1)
                .await
                .unwrap();
            if next.is_empty() {
                break;
            }
            parts.extend(next);
            assert!(parts.len() <= whole.len());
        }
        assert_eq!(parts, whole);
    }
}

#[tokio::test]
async fn a_guard_holds_for_a_batch_in_one_statement() {
    let db = fixture().await;
    let mut connection = db.pool.acquire().await.unwrap();
    let pairs = [
        (id(11), Some(id(101))),
        (id(12), Some(id(101))),
        (id(13), Some(id(101))),
        (id(2), None),
        (id(2), Some(id(102))),
    ];
    let mut hold = async |json: &str| {
        let held = holding(&mut connection, &condition(json), &pairs, now(), Shanghai)
            .await
            .unwrap();
        let mut held: Vec<_> = held
            .iter()
            .map(|(c, l)| (c.as_u128(), l.map(|l| l.as_u128())))
            .collect();
        held.sort_unstable();
        held
    };
    assert_eq!(
        hold(r#"{"fact":"lead.grade","is":"B"}"#).await,
        [(11, Some(101)), (12, Some(101))]
    );
    assert_eq!(
        hold(r#"{"not":{"fact":"lead.grade","is":"B"}}"#).await,
        [(2, None), (2, Some(102))]
    );
    assert_eq!(
        hold(r#"{"fact":"lead.open","is":true}"#).await,
        [(2, Some(102)), (11, Some(101)), (12, Some(101))]
    );
    assert_eq!(hold(r#"{"fact":"lead.open","is":false}"#).await, [(2, None)]);
}

#[tokio::test]
async fn every_fact_can_be_asked_for_with_every_test_that_fits() {
    let db = fixture().await;
    let mut connection = db.pool.acquire().await.unwrap();
    let mut asked = 0;
    for fact in FACTS {
        let tests: &[&str] = match fact.kind {
            FactType::Text => &[r#""is":"x""#, r#""in":["x"]"#, r#""known":true"#],
            FactType::Word(words) => &[&format!(r#""is":"{}""#, words.all()[0]), r#""known":false"#],
            FactType::YesNo => &[r#""is":true"#, r#""known":false"#],
            FactType::Number => &[r#""is":1"#, r#""in":[1.5, 2]"#, r#""at_least":1"#, r#""below":2"#],
            FactType::Instant => &[r#""older_than":"2w""#, r#""within":"3h""#, r#""known":true"#],
            FactType::Date => &[
                r#""older_than":"2w""#,
                r#""within":"3d""#,
                r#""days_until_at_most":3"#,
            ],
        };
        for test in tests {
            let condition = condition(&format!(r#"{{"fact":"{}",{test}}}"#, fact.name));
            assert_eq!(condition.faults(Subject::Lead), [], "{} {test}", fact.name);
            members(
                &mut connection,
                &condition,
                Subject::Lead,
                now(),
                Shanghai,
                None,
                10,
            )
            .await
            .unwrap();
            asked += 1;
        }
    }
    assert!(asked > 100);
}
