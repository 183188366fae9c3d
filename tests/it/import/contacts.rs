//! Contacts: upsert, absent columns, dry runs, consent, accounts.

use kith::domain::email::EmailAddress;
use kith::engine::import::{Imported, Kind};

use super::{Desk, PEOPLE, ROWS, with_people};

#[tokio::test]
async fn contacts_arrive_whole() {
    let desk = Desk::new().await;
    with_people(&desk).await;
    let ann = desk
        .text(
            "select concat_ws('|', c.name, c.email, c.phone, locale, c.timezone, c.region, birthday, birthday_calendar,
                              next_birthday_on, next_birthday_key, role, decision_maker, o.name, preferred_channel,
                              best_time, referred_by, attrs, consent_email, consent_sms, consent_source, a.name,
                              a.kind, c.shard = a.shard)
             from contact c join account a on a.id = account_id join owner o on o.id = owner_id
             where c.name = 'Ann Lee'",
        )
        .await;
    assert_eq!(
        ann.unwrap(),
        "Ann Lee|ann@example.com|+8613800138000|zh-CN|Asia/Shanghai|华东|1990-08-15|lunar|2027-09-15|2027-lunar-08-15|\
         CTO|t|Wu|email|09:00|c2|{\"hobby\": \"chess\"}|t|f|fair 2026|Acme|organisation|t"
    );
    let bo = desk
        .text(
            "select concat_ws('|', birthday, next_birthday_on, a.kind, a.id = c.id, a.name, a.region, attrs,
                              consent_sms is null)
             from contact c join account a on a.id = account_id where c.name = 'Bo'",
        )
        .await;
    assert_eq!(bo.unwrap(), "--02-29|2027-02-28|person|t|Bo|DE|{}|t");
    let hash: Vec<u8> = sqlx::query_scalar("select email_hash from contact where name = 'Ann Lee'")
        .fetch_one(desk.pool())
        .await
        .unwrap();
    let address = EmailAddress::parse("ann@example.com").unwrap();
    assert_eq!(hash, desk.deps.address_key.email(&address).as_bytes());
    assert_eq!(desk.number("select count(*) from consent").await, 3);
    assert_eq!(desk.number("select count(*) from fact_change").await, 3);
}

#[tokio::test]
async fn the_same_again_writes_nothing_and_a_difference_writes_that_row() {
    let desk = Desk::new().await;
    with_people(&desk).await;
    let before = desk.text(ROWS).await;
    desk.expect(Kind::Owners, "external_id,name,deputy\nw1,Wu,w9\n", (0, 0, 1, 0))
        .await;
    desk.expect(
        Kind::Organisations,
        "external_id,name,industry\no1,Acme,steel\n",
        (0, 0, 1, 0),
    )
    .await;
    desk.expect(Kind::Contacts, PEOPLE, (0, 0, 3, 0)).await;
    assert_eq!(desk.text(ROWS).await, before);

    let changed = PEOPLE.replace("CTO", "CEO").replace("chess", "");
    desk.expect(Kind::Contacts, &changed, (0, 1, 2, 0)).await;
    let ann = desk
        .text("select role || attrs::text from contact where name = 'Ann Lee'")
        .await;
    assert_eq!(ann.unwrap(), "CEO{}");
    assert_eq!(desk.number("select count(*) from consent").await, 3);
}

#[tokio::test]
async fn an_absent_column_clears_nothing_and_an_empty_cell_clears() {
    let desk = Desk::new().await;
    with_people(&desk).await;
    desk.expect(Kind::Contacts, "\u{feff}external_id,role\nc1,\n", (0, 1, 0, 0))
        .await;
    let ann = desk
        .text(
            "select concat_ws('|', role is null, email, birthday, attrs, consent_email, owner_id is not null)
               from contact where name = 'Ann Lee'",
        )
        .await;
    assert_eq!(
        ann.unwrap(),
        "t|ann@example.com|1990-08-15|{\"hobby\": \"chess\"}|t|t"
    );
    desk.expect(Kind::Contacts, "external_id,attr.size\nc1,L\n", (0, 1, 0, 0))
        .await;
    assert_eq!(
        desk.text("select attrs::text from contact where name = 'Ann Lee'")
            .await
            .unwrap(),
        "{\"size\": \"L\", \"hobby\": \"chess\"}"
    );
    // New people need a name; and an empty consent says nothing.
    desk.expect(
        Kind::Contacts,
        "external_id,consent_email\nc9,yes\nc1,\n",
        (0, 0, 1, 1),
    )
    .await;
    desk.expect(
        Kind::Owners,
        "external_id,phone\nw1,010 6552 9988\n",
        (0, 1, 0, 0),
    )
    .await;
    assert_eq!(
        desk.text("select name || phone from owner").await.unwrap(),
        "Wu+861065529988"
    );
}

#[tokio::test]
async fn a_dry_run_counts_and_writes_nothing() {
    let desk = Desk::new().await;
    let path = desk.write(
        Kind::Contacts,
        "external_id,name,email\nc1,Ann,a@b.com\nc2,Bo,b@\n",
    );
    let Imported::Done(report) = desk.order(Kind::Contacts, &path, true).await else {
        panic!()
    };
    assert_eq!((report.new, report.refused), (1, 1));
    assert_eq!(desk.number("select count(*) from contact").await, 0);
    assert_eq!(desk.number("select count(*) from source").await, 0);

    desk.expect(Kind::Contacts, "external_id,name\nc1,Ann\n", (1, 0, 0, 0))
        .await;
    let path = desk.write(Kind::Contacts, "external_id,name\nc1,Anna\nc2,Bo\n");
    let Imported::Done(report) = desk.order(Kind::Contacts, &path, true).await else {
        panic!()
    };
    assert_eq!((report.new, report.changed), (1, 1));
    assert_eq!(desk.text("select name from contact").await.unwrap(), "Ann");
}

#[tokio::test]
async fn an_import_lifts_no_opt_out() {
    let desk = Desk::new().await;
    let file = "external_id,name,email,consent_email\nc1,Ann,a@b.com,yes\n";
    desk.expect(Kind::Contacts, file, (1, 0, 0, 0)).await;
    // The person says no.
    sqlx::raw_sql(
        "insert into suppression (address_hash, channel, reason, at)
         select email_hash, 'email', 'opted-out', now() from contact;
         insert into consent (contact_id, at, id, channel, granted, basis, source)
         select id, now(), gen_random_uuid(), 'email', false, 'opt-out', 'link' from contact;
         update contact set consent_email = false",
    )
    .execute(desk.pool())
    .await
    .unwrap();
    desk.expect(Kind::Contacts, file, (0, 0, 1, 0)).await;
    desk.expect(Kind::Contacts, &file.replace("Ann", "Anna"), (0, 1, 0, 0))
        .await;
    assert_eq!(desk.number("select count(*) from suppression").await, 1);
    assert_eq!(
        desk.number("select count(*) from contact where consent_email")
            .await,
        0
    );
    assert_eq!(desk.number("select count(*) from consent where granted").await, 1);

    // A no that came by import yields to an import.
    let no = "external_id,name,consent_sms\nc2,Bo,no\n";
    desk.expect(Kind::Contacts, no, (1, 0, 0, 0)).await;
    desk.expect(Kind::Contacts, &no.replace(",no", ",yes"), (0, 1, 0, 0))
        .await;
    assert_eq!(
        desk.number("select count(*) from contact where consent_sms")
            .await,
        1
    );
}

#[tokio::test]
async fn a_contact_moves_between_organisation_and_alone() {
    let desk = Desk::new().await;
    desk.expect(Kind::Organisations, "external_id,name\no1,Acme\n", (1, 0, 0, 0))
        .await;
    desk.expect(
        Kind::Contacts,
        "external_id,name,organisation\nc1,Ann,\nc2,Bo,o1\n",
        (2, 0, 0, 0),
    )
    .await;
    assert_eq!(desk.number("select count(*) from account").await, 2);
    desk.expect(
        Kind::Contacts,
        "external_id,name,organisation\nc1,Ann,o1\nc2,Bo,\n",
        (0, 2, 0, 0),
    )
    .await;
    let accounts = desk
        .text(
            "select string_agg(concat_ws(' ', c.name, a.kind, a.name, a.shard = c.shard), ', ' order by c.name)
             from contact c join account a on a.id = c.account_id",
        )
        .await;
    assert_eq!(accounts.unwrap(), "Ann organisation Acme t, Bo person Bo t");
    assert_eq!(desk.number("select count(*) from account").await, 2);
}
