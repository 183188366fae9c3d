//! Forms of a web site: an event that makes the person, and where it says so a lead.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::site::Site;

async fn post(site: &Site, token: &str, body: &Value) -> Vec<String> {
    let request = site.http.post(format!("{}/v1/events", site.admin));
    let response = request.bearer_auth(token).json(body).send().await.unwrap();
    let status = response.status();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{answer}");
    answer["answers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| match one["reason"].as_str() {
            Some(reason) => format!("{} {reason}", one["status"].as_str().unwrap()),
            None => one["status"].as_str().unwrap().to_owned(),
        })
        .collect()
}

async fn text(site: &Site, sql: &'static str) -> Option<String> {
    sqlx::query_scalar(sql).fetch_one(&site.db.pool).await.unwrap()
}

fn of_ben(id: &str) -> Value {
    json!({ "id": id, "type": "form", "at": "2027-01-03T10:00:00Z", "data": {
        "page": "pricing", "name": "Ben Ng", "email": "Ben@Example.org", "phone": "+14155552671", "locale": "en-us",
        "timezone": "America/New_York", "attr.hobby": "chess", "consent_email": true,
        "consent_source": "web site", "consent_text": "Yes, write to me.",
        "lead": { "product": "Standard", "value": 900, "felt_need": true } } })
}

#[tokio::test]
async fn a_form_makes_the_person_and_the_lead() {
    let site = Site::open().await;
    let token = site.token("web").await;
    assert_eq!(post(&site, &token, &of_ben("f1")).await, ["accepted"]);
    let whole = text(
        &site,
        "select concat_ws('|', c.name, c.email, c.phone, c.locale, c.timezone, c.attrs ->> 'hobby', c.consent_email,
                          a.kind, s.name, c.email_hash is not null)
         from contact c join account a on a.id = c.account_id join contact_ref r on r.contact_id = c.id
         join source s on s.id = r.source_id",
    );
    assert_eq!(
        whole.await.unwrap(),
        "Ben Ng|ben@example.org|+14155552671|en-US|America/New_York|chess|t|person|api:web|t"
    );
    let consent = text(
        &site,
        "select concat_ws('|', channel, granted, basis, source, text_shown, at at time zone 'UTC') from consent",
    );
    assert_eq!(
        consent.await.unwrap(),
        "email|t|form|web site|Yes, write to me.|2027-01-03 10:00:00"
    );
    let lead = text(
        &site,
        "select concat_ws('|', l.product, l.value, l.regrade_at is not null,
                          (select string_agg(e.body ->> 'kind', ',' order by e.id) from evidence e where e.lead_id = l.id
                           and e.event_id is null) is not null)
         from lead l join lead_contact x on x.lead_id = l.id",
    );
    assert_eq!(lead.await.unwrap(), "Standard|900|t|t");
    assert_eq!(site.events().await.len(), 1);
    // The same event again, later changed by its sender, changes nothing.
    let mut again = of_ben("f1");
    again["data"]["name"] = json!("Somebody else");
    assert_eq!(post(&site, &token, &again).await, ["duplicate"]);
    // Another form of the same person, by his address: no second person, no second lead.
    let mut other = of_ben("f2");
    other["data"]["name"] = json!("Benjamin Ng");
    other["data"]["phone"] = json!("");
    assert_eq!(post(&site, &token, &other).await, ["accepted"]);
    let now = text(&site, "select string_agg(name || ' ' || phone, ',') from contact");
    assert_eq!(
        now.await.unwrap(),
        "Benjamin Ng +14155552671",
        "what is empty clears nothing"
    );
    assert_eq!(site.count("select count(*) from lead").await, 1);
    assert_eq!(site.count("select count(*) from event_parked").await, 0);
}

#[tokio::test]
async fn a_batch_knows_its_own_people_and_refuses_each_for_itself() {
    let site = Site::open().await;
    site.somebody("en").await;
    let token = site.token("web").await;
    let batch = json!([
        { "id": "1", "type": "form", "data": { "external_id": "w-1", "name": "Ben", "email": "ben@example.org" } },
        { "id": "2", "type": "form", "data": { "external_id": "w-1", "name": "Benny", "email": "ben@example.org" } },
        { "id": "3", "type": "form", "data": { "email": "ben@example.org", "role": "CEO" } },
        { "id": "4", "type": "form", "data": { "name": "Bad", "email": "no address" } },
        { "id": "5", "type": "form", "data": { "email": "new@example.org" } },
        { "id": "6", "type": "form", "data": { "name": "Cy", "email": "cy@example.org", "owner": "nobody" } },
        { "id": "7", "type": "form", "data": { "name": "Di", "email": "di@example.org", "lead": { "campaign": "x" } } },
        { "id": "8", "type": "form", "data": { "name": "Ed", "email": "ed@example.org", "lead": { "colour": "red" } } },
        { "id": "9", "type": "form", "data": { "page": "pricing" } },
        { "id": "10", "type": "form", "contact": "ann@example.com", "data": { "role": "CTO" } },
        { "id": "11", "type": "form", "contact": "unknown@example.com", "data": { "page": "pricing" } },
        { "id": "12", "type": "form", "data": { "name": "Fay", "email": "fay@example.org", "attr.list": [1] } },
    ]);
    let answers = post(&site, &token, &batch).await;
    let expected = [
        "accepted",
        "accepted",
        "accepted",
        "refused data.email: ",
        "refused data.name: a new contact needs a name",
        "refused data.owner: no owner",
        "refused data.lead.campaign: no campaign",
        "refused data.lead.colour: unknown column",
        "refused contact: ",
        "accepted",
        "parked",
        "refused data.attr.list: ",
    ];
    for (answer, expected) in answers.iter().zip(expected) {
        assert!(answer.starts_with(expected), "{expected}: {answers:#?}");
    }
    let people = text(
        &site,
        "select string_agg(name || '/' || coalesce(role, ''), ' ' order by name) from contact",
    );
    assert_eq!(people.await.unwrap(), "Ann <b>Lee</b>/CTO Benny/CEO");
    assert_eq!(
        site.count("select count(*) from lead").await,
        1,
        "only the one that was there"
    );
    // What was refused was not kept: put right, it may come again under its own id.
    let right = json!({ "id": "4", "type": "form", "data": { "name": "Gus", "email": "gus@example.org" } });
    assert_eq!(post(&site, &token, &right).await, ["accepted"]);
}

#[tokio::test]
async fn a_form_never_lifts_an_opt_out() {
    let site = Site::open().await;
    let token = site.token("web").await;
    post(&site, &token, &of_ben("f1")).await;
    let out = json!({ "id": "o1", "type": "opted_out", "contact": "ben@example.org" });
    assert_eq!(post(&site, &token, &out).await, ["accepted"]);
    site.deps().clock.advance(TimeDelta::days(1)).unwrap();
    assert_eq!(post(&site, &token, &of_ben("f2")).await, ["accepted"]);
    assert_eq!(
        site.count("select count(*) from contact where consent_email is false")
            .await,
        1
    );
    assert_eq!(
        site.count("select count(*) from suppression where reason = 'opted-out'")
            .await,
        1
    );
    // Many people at once are no danger to each other, and sets of fields are bounded.
    let many: Vec<Value> = (0..300)
        .map(|n| {
            json!({ "id": format!("m{n}"), "type": "form",
                    "data": { "name": format!("P{n}"), "email": format!("p{n}@example.org") } })
        })
        .collect();
    let (first, second) = (json!(many[..200].to_vec()), json!(many[100..].to_vec()));
    let (one, two) = tokio::join!(post(&site, &token, &first), post(&site, &token, &second));
    let accepted = one
        .iter()
        .chain(&two)
        .filter(|answer| *answer == "accepted")
        .count();
    assert_eq!(accepted, 300);
    assert_eq!(site.count("select count(*) from contact").await, 301);
    let shapes: Vec<Value> = (0..20)
        .map(|n| {
            let mut data = json!({ "name": "X", "email": format!("x{n}@example.org") });
            data[format!("attr.a{n}")] = json!("1");
            json!({ "id": format!("s{n}"), "type": "form", "data": data })
        })
        .collect();
    let answers = post(&site, &token, &json!(shapes)).await;
    let refused = answers
        .iter()
        .filter(|answer| answer.contains("sets of fields"))
        .count();
    assert_eq!(refused, 4, "{answers:#?}");
}
