//! What is refused: rows, with place and reason, and whole files.

use kith::engine::import::{Imported, Kind};

use super::{Desk, with_people};

#[tokio::test]
async fn references_must_be_known_except_a_deputy() {
    let desk = Desk::new().await;
    let report = desk
        .import(
            Kind::Contacts,
            "external_id,name,organisation,owner\nc1,Ann,o9,\nc2,Bo,,w9\nc3,Cy,,\n",
        )
        .await;
    assert_eq!((report.new, report.refused), (1, 2));
    let rejected = std::fs::read_to_string(report.rejected_path.unwrap()).unwrap();
    assert_eq!(
        rejected,
        "row,field,reason,external_id,name,organisation,owner\n\
         2,\"organisation\",\"no organisation of this source has this external id; import organisations first\",c1,Ann,o9,\n\
         3,\"owner\",\"no owner of this source has this external id; import owners first\",c2,Bo,,w9\n"
    );
    // Corrected, the file of refused rows is a file like any other.
    desk.expect(
        Kind::Contacts,
        &rejected.replace("o9", "").replace("w9", ""),
        (2, 0, 0, 0),
    )
    .await;
}

#[tokio::test]
async fn a_file_that_cannot_be_what_it_says_is_refused_whole() {
    let desk = Desk::new().await;
    for (text, part) in [
        (&b""[..], "empty"),
        (b"\xff\xfee\0x\0", "UTF-16"),
        (b"external_id,e_mail\nc1,a@b.com\n", "did you mean email"),
        (b"name\nAnn\n", "required"),
        (b"external_id;name\nc1;Ann\n", "separated by commas"),
        (b"external_id,n\xe9\nc1,Ann\n", "not UTF-8"),
    ] {
        let path = desk.write(Kind::Contacts, text);
        match desk.order(Kind::Contacts, &path, false).await {
            Imported::FileRefused(refusal) => assert!(refusal.reason.contains(part), "{refusal:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(desk.number("select count(*) from source").await, 0);
}

/// Twenty kinds of bad rows: a row with `#` for its number, the column that is to blame, and a part of the reason.
fn bad_kinds() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let long = format!("b#,{},,,,,,,,,", "x".repeat(201));
    let rows: [(&[u8], &str, &str); 20] = [
        (b",Ann,,,,,,,,,", "external_id", "empty"),
        (b"b#,,,,,,,,,,", "name", "empty"),
        (b"b#,Ann,ann@,,,,,,,,", "email", "domain"),
        (b"b#,Ann,,12345,,,,,,,", "phone", "phone"),
        (b"b#,Ann,,,xx_yy_zz_123456789,,,,,,", "locale", ""),
        (b"b#,Ann,,,,Mars/Olympus,,,,,", "timezone", "time zone"),
        (b"b#,Ann,,,,,1990-02-30,,,,", "birthday", "no such day"),
        (b"b#,Ann,,,,,15 Aug,,,,", "birthday", "not a birthday"),
        (
            b"b#,Ann,,,,,1990-08-15,julian,,,",
            "birthday_calendar",
            "calendar",
        ),
        (b"b#,Ann,,,,,1990-L06-10,,,,", "birthday", "leap month"),
        (b"b#,Ann,,,,,,,maybe,,", "decision_maker", "yes"),
        (b"b#,Ann,,,,,,,,fax,", "preferred_channel", "email, sms, phone"),
        (long.as_bytes(), "name", "longer than 200"),
        (b"dup,Ann,,,,,,,,,", "external_id", "further up"),
        (b"b#,Ann,,,", "", "5 cells"),
        (b"b#,Ann,,,,,,,,,,", "", "12 cells"),
        (b"b#,A\xe9nn,,,,,,,,,", "name", "UTF-8"),
        (b"b#,A\0nn,,,,,,,,,", "name", "NUL"),
        (b"b#,Ann,\"ann@b.com,,,,,,,,", "", "quote"),
        (b"b#,Ann,,,,,,,,,o9", "organisation", "no organisation"),
    ];
    rows.into_iter()
        .map(|(row, field, reason)| (row.to_vec(), field, reason))
        .collect()
}

#[tokio::test]
async fn a_thousand_bad_rows_of_twenty_kinds() {
    let desk = Desk::new().await;
    let header = "external_id,name,email,phone,locale,timezone,birthday,birthday_calendar,decision_maker,\
                  preferred_channel,organisation";
    let kinds = bad_kinds();
    let mut file = format!("{header}\ndup,First,,,,,,,,,\n").into_bytes();
    let mut want = Vec::new();
    for n in 0..1000_usize {
        let (row, field, reason) = &kinds[n % kinds.len()];
        let line = file.split(|&b| b == b'\n').count();
        for &byte in row {
            if byte == b'#' {
                file.extend_from_slice(n.to_string().as_bytes());
            } else {
                file.push(byte);
            }
        }
        file.extend_from_slice(b"\r\n");
        want.push((line, *field, *reason));
        // Good rows between the bad ones are kept.
        if n % 4 == 0 {
            file.extend_from_slice(format!("g{n},\"Good, {n}\",,,,,,,,,\n").as_bytes());
        }
    }
    let report = desk.import(Kind::Contacts, &file).await;
    assert_eq!((report.new, report.refused), (251, 1000));
    assert_eq!(desk.number("select count(*) from contact").await, 251);

    let rejected = std::fs::read(report.rejected_path.unwrap()).unwrap();
    let lines: Vec<&[u8]> = rejected
        .split(|&b| b == b'\n')
        .filter(|l| !l.is_empty())
        .collect();
    assert_eq!(lines[0], format!("row,field,reason,{header}").as_bytes());
    assert_eq!(lines.len(), 1001);
    for ((line, field, reason), got) in want.iter().zip(&lines[1..]) {
        let got = String::from_utf8_lossy(got);
        assert!(
            got.starts_with(&format!("{line},\"{field}\",")),
            "{line} {field}: {got}"
        );
        assert!(got.contains(reason), "{reason}: {got}");
    }
}

#[tokio::test]
async fn bad_rows_of_the_other_kinds() {
    let desk = Desk::new().await;
    with_people(&desk).await;
    for (kind, text, field, reason) in [
        (
            Kind::Owners,
            "external_id,name,from_email\nw2,Xu,xu@\n",
            "from_email",
            "domain",
        ),
        (
            Kind::Owners,
            "external_id,name,away_from,away_until\nw2,Xu,2026-02-02,2026-02-01\n",
            "away_until",
            "ends before",
        ),
        (
            Kind::Campaigns,
            "external_id,name,cost\ng2,Ad,-5\n",
            "cost",
            "negative",
        ),
        (
            Kind::Campaigns,
            "external_id,name,date\ng2,Ad,31.03.2026\n",
            "date",
            "2026-03-31",
        ),
        (
            Kind::Organisations,
            "external_id,size\no2,10\n",
            "name",
            "needs a name",
        ),
        (
            Kind::Purchases,
            "external_id,contact,purchased_at,amount,currency\np1,c1,2026-02-01,5,Yuan\n",
            "currency",
            "three letters",
        ),
        (
            Kind::Purchases,
            "external_id,contact,purchased_at,amount,currency\np1,c1,2026-02-01,\"1,000\",CNY\n",
            "amount",
            "separators",
        ),
        (
            Kind::Purchases,
            "external_id,contact,purchased_at,amount,currency\np1,c1,yesterday,5,CNY\n",
            "purchased_at",
            "date or time",
        ),
        (
            Kind::Leads,
            "external_id,contact,resolve\nl1,c1,huge\n",
            "resolve",
            "high, medium",
        ),
        (
            Kind::Leads,
            "external_id,contact,grade\nl1,c1,E\n",
            "grade",
            "A, B, C or D",
        ),
        (
            Kind::Leads,
            "external_id,contact,situation\nl1,c1,blue\n",
            "situation",
            "greenfield",
        ),
        (
            Kind::Leads,
            "external_id,contact,likelihood\nl1,c1,120\n",
            "likelihood",
            "0 to 100",
        ),
        (
            Kind::Leads,
            "external_id,contact,expected_on\nl1,c1,9999-01-01\n",
            "expected_on",
            "year",
        ),
        (
            Kind::Leads,
            "external_id,contact,outcome,closed_at\nl1,c1,,2026-01-01\n",
            "outcome",
            "won or lost",
        ),
        (
            Kind::Leads,
            "external_id,contact,campaign\nl1,c1,g9\n",
            "campaign",
            "no campaign",
        ),
        (
            Kind::Leads,
            "external_id,contact\nl1,c77\n",
            "contact",
            "no contact",
        ),
        (
            Kind::Leads,
            "external_id,grade\nl1,A\n",
            "contact",
            "a contact or an organisation",
        ),
    ] {
        let report = desk.import(kind, text).await;
        assert_eq!((report.new, report.refused), (0, 1), "{text}");
        let rejected = std::fs::read_to_string(report.rejected_path.unwrap()).unwrap();
        let row = rejected.lines().nth(1).unwrap();
        assert!(
            row.starts_with(&format!("2,\"{field}\",")) && row.contains(reason),
            "{row}"
        );
    }
}
