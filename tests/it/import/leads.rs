//! Leads and their evidence; purchases and what they say about accounts.

use chrono::{DateTime, Utc};
use kith::domain::evidence::{EvidenceKind, Outcome, Source};
use kith::domain::factor::{Factor, Level, Setting};
use kith::domain::grade::Grade;
use kith::engine::import::Kind;

use super::{Desk, now, with_people};

/// The accounts' last purchases.
const LAST: &str =
    "select string_agg(concat_ws(' ', name, last_purchase_at at time zone 'utc'), ', ' order by name)
                    from account where last_purchase_at is not null";

#[tokio::test]
async fn purchases_and_returns() {
    let desk = Desk::new().await;
    with_people(&desk).await;
    let file = "external_id,contact,organisation,purchased_at,amount,currency,quantity,profit,product\n\
                p1,c2,,2026-03-29 02:30,100.50,eur,2,40,pump\n\
                p2,,o1,2026-01-05,1000,CNY,,,\n\
                p3,c2,,2026-05-01T10:00+00:00,-20,EUR,,,\n\
                p4,c1,,2026-02-01,5,CNY,,,\n\
                p5,,,2026-02-01,5,CNY,,,\n\
                p6,c9,,2026-02-01,5,CNY,,,\n";
    desk.expect(Kind::Purchases, file, (4, 0, 0, 2)).await;
    let got = desk
        .text(
            "select string_agg(concat_ws(' ', p.external_id, a.name, p.at at time zone 'utc', amount, currency), ', '
                               order by p.external_id)
             from purchase p join account a on a.id = p.account_id",
        )
        .await;
    // In Berlin the clocks went from 02:00 to 03:00 that night.
    assert_eq!(
        got.unwrap(),
        "p1 Bo 2026-03-29 01:30:00 100.5 EUR, p2 Acme 2026-01-04 16:00:00 1000 CNY, \
         p3 Bo 2026-05-01 10:00:00 -20 EUR, p4 Acme 2026-01-31 16:00:00 5 CNY"
    );
    assert_eq!(
        desk.text(LAST).await.unwrap(),
        "Acme 2026-01-31 16:00:00, Bo 2026-03-29 01:30:00"
    );
    desk.expect(Kind::Purchases, file, (0, 0, 4, 2)).await;
    let moved = "external_id,contact,purchased_at,amount,currency\np4,c2,2026-04-01,5,CNY\n";
    desk.expect(Kind::Purchases, moved, (0, 1, 0, 0)).await;
    assert_eq!(
        desk.text(LAST).await.unwrap(),
        "Acme 2026-01-04 16:00:00, Bo 2026-03-31 22:00:00"
    );
}

const LEADS: &str = "\
external_id,contact,organisation,owner,source_channel,campaign,situation,grade,grade_at,objective_need,felt_need,resolve,waiting_for,expected_on,expected_close,likelihood,value,product,stage,opened_at,closed_at,outcome,not_fit
l1,c1,o1,w1,fair,g1,greenfield,B,2026-10-01,yes,yes,high,the budget,2026-12-01,2027-03-01,60%,5000,pump,talks,2026-09-01,,,
l2,c2,,,,,,,,,,,,,,,,,,2026-09-01T12:00,2026-10-01,lost,
";

async fn evidence(desk: &Desk, lead: &str) -> Vec<(DateTime<Utc>, EvidenceKind)> {
    let rows: Vec<(DateTime<Utc>, sqlx::types::Json<EvidenceKind>)> = sqlx::query_as(
        "select e.at, e.body from evidence e join lead l on l.id = e.lead_id where l.external_id = $1
         order by e.at, e.id",
    )
    .bind(lead)
    .fetch_all(desk.pool())
    .await
    .unwrap();
    rows.into_iter().map(|(at, body)| (at, body.0)).collect()
}

#[tokio::test]
async fn leads_bring_evidence_where_the_file_has_news() {
    let desk = Desk::new().await;
    with_people(&desk).await;
    desk.expect(
        Kind::Campaigns,
        "external_id,name,date,cost\ng1,Fair,2026-09-01,900\n",
        (1, 0, 0, 0),
    )
    .await;
    desk.expect(
        Kind::Contacts,
        "external_id,name,organisation\nc4,Di,o1\n",
        (1, 0, 0, 0),
    )
    .await;
    desk.expect(Kind::Leads, LEADS, (2, 0, 0, 0)).await;

    let source = || Source::Import("csv".to_owned());
    let stated = |setting| EvidenceKind::Stated {
        setting,
        source: source(),
    };
    let date = |text: &str| text.parse().unwrap();
    let got = evidence(&desk, "l1").await;
    assert!(
        got.iter()
            .all(|(at, _)| *at == "2026-09-30T16:00:00Z".parse::<DateTime<Utc>>().unwrap()),
        "{got:?}"
    );
    let kinds: Vec<EvidenceKind> = got.into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(
        kinds,
        [
            stated(Setting::ObjectiveNeed(true)),
            stated(Setting::FeltNeed(true)),
            stated(Setting::Resolve(Level::High)),
            stated(Setting::ExpectedClose(date("2027-03-01"))),
            stated(Setting::WaitingFor("the budget".to_owned())),
            stated(Setting::ExpectedOn(date("2026-12-01"))),
            stated(Setting::Likelihood(60)),
            EvidenceKind::Asserted {
                grade: Grade::B,
                source: source(),
                reason: None,
                expires: None
            },
        ]
    );
    assert_eq!(
        evidence(&desk, "l2").await,
        [(
            "2026-09-30T22:00:00Z".parse().unwrap(),
            EvidenceKind::Closed {
                outcome: Outcome::Lost
            }
        )]
    );
    let l1 = desk
        .text(
            "select concat_ws('|', grade is null, waiting_for, expected_on, expected_close, likelihood, value, stage,
                              closed_at is null, g.name, o.name, a.name, regrade_at = '2026-11-20T04:00:00Z',
                              l.shard = a.shard,
                              (select string_agg(c.name, ',' order by c.name) from lead_contact x
                               join contact c on c.id = x.contact_id where x.lead_id = l.id))
             from lead l join campaign g on g.id = campaign_id join owner o on o.id = owner_id
             join account a on a.id = account_id where l.external_id = 'l1'",
        )
        .await;
    assert_eq!(
        l1.unwrap(),
        "t|the budget|2026-12-01|2027-03-01|60|5000|talks|t|Fair|Wu|Acme|t|t|Ann Lee,Di"
    );

    // The same again is no news; what kith moved itself stays.
    sqlx::query("update lead set stage = 'won over', regrade_at = null")
        .execute(desk.pool())
        .await
        .unwrap();
    desk.expect(Kind::Leads, LEADS, (0, 0, 2, 0)).await;
    assert_eq!(desk.number("select count(*) from evidence").await, 9);

    // News of a known lead is news of today; a cell that is emptied is withdrawn.
    let news = LEADS
        .replace("yes,yes,high,the budget", "yes,yes,medium,")
        .replace(",lost,", ",,")
        .replace("2026-10-01,,", ",,");
    desk.expect(Kind::Leads, &news, (0, 2, 0, 0)).await;
    let kinds: Vec<_> = evidence(&desk, "l1")
        .await
        .into_iter()
        .filter(|(at, _)| *at == now())
        .map(|e| e.1)
        .collect();
    assert_eq!(
        kinds,
        [
            stated(Setting::Resolve(Level::Medium)),
            EvidenceKind::Withdrawn {
                factor: Factor::WaitingFor,
                source: source()
            }
        ]
    );
    assert_eq!(
        evidence(&desk, "l2").await.last(),
        Some(&(now(), EvidenceKind::Reopened))
    );
    assert_eq!(
        desk.text("select string_agg(concat_ws(' ', external_id, stage, waiting_for, closed_at), ',' order by external_id) from lead")
            .await
            .unwrap(),
        "l1 won over,l2 won over"
    );
    assert_eq!(
        desk.number("select count(*) from lead where regrade_at is not null")
            .await,
        2
    );

    // A colleague who comes later joins the open lead of the organisation.
    desk.expect(
        Kind::Contacts,
        "external_id,name,organisation\nc5,Ed,o1\n",
        (1, 0, 0, 0),
    )
    .await;
    assert_eq!(desk.number("select count(*) from lead_contact").await, 4);
}
