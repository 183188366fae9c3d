//! `kith apply`: what is put in force, and that nothing is half applied.

use std::fs;
use std::path::Path;
use std::process::Command;

use chrono::{DateTime, Utc};
use kith::domain::document::DocumentKind;
use kith::domain::grade::Grade;
use kith::domain::id::IdSource;
use kith::engine::apply::{Applied, How, Refused, apply, plan};
use kith::engine::rules::{NoRules, Rules};
use kith::store::document::rules_stamp;

use crate::apply_faults::{checked, replace, shipped_files};
use crate::harness::TestDb;

fn now() -> DateTime<Utc> {
    "2026-05-10T04:00:00Z".parse().unwrap()
}

async fn put(db: &TestDb, dir: &Path, moves: &[String]) -> anyhow::Result<Applied> {
    let checked = checked(dir).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let mut connection = db.pool.acquire().await?;
    apply(
        &mut connection,
        &checked,
        moves,
        "tester",
        now(),
        &IdSource::Random,
    )
    .await
}

#[tokio::test]
async fn what_is_applied_is_in_force_and_again_is_no_change() {
    let db = TestDb::new().await;
    let dir = shipped_files();
    let mut connection = db.pool.acquire().await.unwrap();
    let nothing = Rules::load(&mut connection).await.err().unwrap();
    assert!(nothing.downcast_ref::<NoRules>().is_some());

    let first = put(&db, dir.path(), &[]).await.unwrap();
    assert!(first.diff.changes.iter().all(|change| change.how == How::Added));
    let rules = Rules::load(&mut connection).await.unwrap();
    assert_eq!(rules.stamp, rules_stamp(&mut connection).await.unwrap());
    assert_eq!(rules.cadences.len(), 4);
    assert_eq!(rules.cadences["a-close-in"].cadence.entry.on_grade, [Grade::A]);
    assert_eq!(rules.template_versions.len(), rules.registry.names().count());
    let new_year = "2026-01-01".parse().unwrap();
    assert!(!rules.holidays(None).unwrap().is_business_day(new_year));
    assert!(rules.holidays(Some("FR")).is_none());
    let files = checked(dir.path()).unwrap_or_else(|problems| panic!("{problems:?}"));
    for (name, cadence) in &files.cadences {
        assert_eq!(*rules.cadences[name].cadence, *cadence);
    }
    assert_eq!(rules.gate, files.settings.gate);
    assert_eq!(rules.company, files.settings.company);
    let holidays: i64 = sqlx::query_scalar("select count(*) from holiday where calendar = 'china'")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert!(holidays > 45);

    let again = put(&db, dir.path(), &[]).await.unwrap();
    assert_eq!(again.diff.changes, []);
    assert_eq!(again.diff.same, first.diff.changes.len());
    let (versions, deeds): (i64, i64) =
        sqlx::query_as("select (select count(*) from document_version), (select count(*) from audit)")
            .fetch_one(&db.pool)
            .await
            .unwrap();
    assert_eq!((versions as usize, deeds), (first.diff.changes.len(), 1));
}

#[tokio::test]
async fn a_change_is_a_new_version_and_a_removal_retires() {
    let db = TestDb::new().await;
    let dir = shipped_files();
    put(&db, dir.path(), &[]).await.unwrap();
    let mut connection = db.pool.acquire().await.unwrap();
    let before = Rules::load(&mut connection).await.unwrap();

    replace(
        dir.path(),
        "config/cadences/b-to-a.toml",
        "wait = \"6d\"",
        "wait = \"8d\"",
    );
    fs::remove_file(dir.path().join("config/cadences/birthday-care.toml")).unwrap();
    let changed = checked(dir.path()).unwrap_or_else(|problems| panic!("{problems:?}"));
    let planned = plan(&mut connection, &changed, now()).await.unwrap();
    assert_eq!(
        rules_stamp(&mut connection).await.unwrap(),
        before.stamp,
        "a plan changes nothing"
    );
    let applied = put(&db, dir.path(), &[]).await.unwrap().diff;
    assert_eq!(planned, applied);
    let shown: Vec<_> = applied
        .changes
        .iter()
        .map(|c| (c.kind, c.name.as_str(), c.how))
        .collect();
    assert_eq!(
        shown,
        [
            (DocumentKind::Cadence, "b-to-a", How::Changed),
            (DocumentKind::Cadence, "birthday-care", How::Retired)
        ]
    );
    assert_eq!(
        applied.changes[0].lines,
        ["steps.checklist.wait: \"6d\" -> \"8d\""]
    );

    let after = Rules::load(&mut connection).await.unwrap();
    assert_ne!(after.stamp, before.stamp);
    assert!(!after.cadences.contains_key("birthday-care"));
    for (name, old) in &before.cadences {
        assert_eq!(
            after.cadence(old.version_id).unwrap(),
            old.cadence.as_ref(),
            "{name} stays readable for those on it"
        );
    }
}

#[tokio::test]
async fn live_enrollments_stay_until_they_are_moved_on_purpose() {
    let db = TestDb::new().await;
    let dir = shipped_files();
    put(&db, dir.path(), &[]).await.unwrap();
    let mut connection = db.pool.acquire().await.unwrap();
    let old = Rules::load(&mut connection).await.unwrap().cadences["b-to-a"].version_id;
    for (n, cursor, state) in [
        (1, "value", "active"),
        (2, "checklist", "active"),
        (3, "value", "finished"),
    ] {
        sqlx::query(
            "insert into enrollment (id, shard, contact_id, account_id, cadence, cadence_version_id, entry_key, state,
                                     cursor, next_at, entered_at, entry_reason)
             values (gen_random_uuid(), 0, gen_random_uuid(), gen_random_uuid(), 'b-to-a', $1, 'once', $2, $3, $4, $4, $5)",
        )
        .bind(old)
        .bind(state)
        .bind(cursor)
        .bind(now())
        .bind(format!("test {n}"))
        .execute(&db.pool)
        .await
        .unwrap();
    }
    let text = fs::read_to_string(dir.path().join("config/cadences/b-to-a.toml")).unwrap();
    let start = text.find("[[steps]]\nkey = \"checklist\"").unwrap();
    let end = text[start..].find("# The next two").unwrap() + start;
    fs::write(
        dir.path().join("config/cadences/b-to-a.toml"),
        format!("{}{}", &text[..start], &text[end..]),
    )
    .unwrap();

    let diff = put(&db, dir.path(), &[]).await.unwrap().diff;
    assert_eq!(diff.changes[0].touches, [(2, "live enrollments")]);
    let on_old = "select count(*) from enrollment where cadence_version_id = $1";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(on_old)
            .bind(old)
            .fetch_one(&db.pool)
            .await
            .unwrap(),
        3
    );

    let moved = put(&db, dir.path(), &["b-to-a".to_owned()]).await.unwrap().moved;
    assert_eq!((moved[0].enrollments, moved[0].left.len()), (1, 1));
    assert_eq!(moved[0].left[0].cursor, "checklist");
    assert_eq!(
        sqlx::query_scalar::<_, i64>(on_old)
            .bind(old)
            .fetch_one(&db.pool)
            .await
            .unwrap(),
        2
    );
    let error = put(&db, dir.path(), &["c-to-b".to_owned()]).await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Refused::NoSuchCadence(name)) if name == "c-to-b"));
}

#[tokio::test]
async fn an_attribute_that_nobody_has_is_refused_and_nothing_is_half_applied() {
    let db = TestDb::new().await;
    let dir = shipped_files();
    replace(
        dir.path(),
        "templates/b-value/en/html.hbs",
        "<p>",
        "<p>{{contact.attr.machines}} ",
    );
    replace(
        dir.path(),
        "config/cadences/b-to-a.toml",
        "wait = \"6d\"",
        "wait = \"8d\"",
    );
    put(&db, dir.path(), &[])
        .await
        .expect("before the first import nobody has anything");
    sqlx::raw_sql(
        "insert into account (id, shard, kind, name) values ('00000000-0000-0000-0000-000000000001', 0, 'person', 'a');
         insert into contact (id, shard, account_id, name) values
           ('00000000-0000-0000-0000-000000000001', 0, '00000000-0000-0000-0000-000000000001', 'a');",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    replace(
        dir.path(),
        "config/cadences/b-to-a.toml",
        "wait = \"8d\"",
        "wait = \"9d\"",
    );
    let mut connection = db.pool.acquire().await.unwrap();
    let stamp = rules_stamp(&mut connection).await.unwrap();
    let error = put(&db, dir.path(), &[]).await.unwrap_err();
    let Some(Refused::Unfit(problems)) = error.downcast_ref() else {
        panic!("{error:#}")
    };
    assert!(
        problems[0].file.ends_with("templates/b-value/en/html.hbs") && problems[0].line == 1,
        "{problems:?}"
    );
    assert!(problems[0].reason.contains("`contact.attr.machines`"));
    assert_eq!(rules_stamp(&mut connection).await.unwrap(), stamp);

    sqlx::query("update contact set attrs = '{\"machines\": \"12\"}'")
        .execute(&db.pool)
        .await
        .unwrap();
    put(&db, dir.path(), &[]).await.unwrap();
    assert_ne!(rules_stamp(&mut connection).await.unwrap(), stamp);
}

#[tokio::test]
async fn a_failure_in_the_middle_leaves_what_was_in_force() {
    let db = TestDb::new().await;
    let dir = shipped_files();
    put(&db, dir.path(), &[]).await.unwrap();
    let mut connection = db.pool.acquire().await.unwrap();
    let stamp = rules_stamp(&mut connection).await.unwrap();
    // the holidays are written last: after the versions and the pointers
    sqlx::raw_sql("alter table holiday add constraint none check (name <> 'Broken')")
        .execute(&db.pool)
        .await
        .unwrap();
    replace(
        dir.path(),
        "config/calendars/china.toml",
        "name = \"New Year's Day\"",
        "name = \"Broken\"",
    );
    replace(
        dir.path(),
        "config/cadences/b-to-a.toml",
        "wait = \"6d\"",
        "wait = \"8d\"",
    );
    let error = put(&db, dir.path(), &[]).await.unwrap_err();
    assert!(format!("{error:#}").contains("\"none\""), "{error:#}");
    assert_eq!(rules_stamp(&mut connection).await.unwrap(), stamp);
    let counted = "select (select count(*) from holiday), (select count(*) from audit)";
    let (holidays, deeds): (i64, i64) = sqlx::query_as(counted).fetch_one(&db.pool).await.unwrap();
    assert!(holidays > 100 && deeds == 1);
}

#[tokio::test]
async fn the_command_tells_places_on_one_side_and_the_diff_on_the_other() {
    let db = TestDb::new().await;
    let dir = shipped_files();
    let said = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_kith"))
            .args(["apply", "--config"])
            .arg(dir.path().join("config"))
            .arg("--templates")
            .arg(dir.path().join("templates"))
            .args(more)
            .env("DATABASE_URL", db.url())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = said(&["--dry-run"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        out.contains("+ cadence b-to-a: 0 live enrollments, 0 may enter now"),
        "{out}"
    );
    assert!(out.ends_with("dry run: nothing was changed\n"), "{out}");
    assert!(said(&[]).1.contains(" added, 0 changed, 0 retired, 0 unchanged"));
    assert!(said(&[]).1.starts_with("no change ("));

    replace(
        dir.path(),
        "config/cadences/b-to-a.toml",
        "template = \"b-value\"",
        "template = \"b-valeu\"",
    );
    let (code, out, err) = said(&[]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    let place = dir
        .path()
        .join("config/cadences/b-to-a.toml")
        .display()
        .to_string();
    assert!(
        err.starts_with(&format!(
            "{place}:21:1: steps.0.template: there is no template `b-valeu`"
        )),
        "{err}"
    );
    assert!(
        err.ends_with("refused: 1 problems; nothing was changed\n"),
        "{err}"
    );
}
