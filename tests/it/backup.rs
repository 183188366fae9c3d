//! Backup and restore, by the command line.

use sqlx::PgPool;

use crate::cli::{company, done, kith, refused};
use crate::harness::TestDb;

#[tokio::test]
async fn a_backup_restores_every_row_with_the_brake_on() {
    let (db, dir) = company().await;
    done(&kith(&db, dir.path(), &["apply"]));
    done(&kith(
        &db,
        dir.path(),
        &[
            "log",
            "c-1",
            "note",
            "--text",
            "tab\there, back\\slash,\nnew line, 您好",
        ],
    ));
    let file = dir.path().join("kith.backup");
    let file = file.to_str().unwrap();
    assert!(done(&kith(&db, dir.path(), &["backup", file])).contains("rows"));
    refused(&kith(&db, dir.path(), &["backup", file]), "never written over");
    refused(&kith(&db, dir.path(), &["restore", file]), "not empty");

    let copy = TestDb::empty().await;
    let said = done(&kith(&copy, dir.path(), &["restore", file]));
    assert!(said.contains("The brake is on"), "{said}");
    let (old, new) = (counts(&db.pool).await, counts(&copy.pool).await);
    assert_eq!(old, new);
    assert!(old.iter().filter(|(_, n)| *n > 0).count() > 12, "{old:?}");
    let note: String = "select data ->> 'text' from event where type = 'note'".into();
    assert_eq!(text(&db.pool, &note).await, text(&copy.pool, &note).await);
    let sequences =
        "select string_agg(sequencename || ' ' || coalesce(last_value, 0), ',' order by sequencename)
                     from pg_sequences where schemaname = 'kith'";
    assert_eq!(text(&db.pool, sequences).await, text(&copy.pool, sequences).await);
    let next = "insert into kith.source (name) values ('another') returning id::text";
    assert_eq!(text(&db.pool, next).await, text(&copy.pool, next).await);
    let identity = "select database_id::text from kith.control";
    assert_ne!(text(&db.pool, identity).await, text(&copy.pool, identity).await);
    let brake = "select brake || ' ' || brake_reason from kith.control";
    assert_eq!(text(&copy.pool, brake).await, "true restored from backup");
    assert!(done(&kith(&copy, dir.path(), &["explain", "c-1"])).starts_with("Ann Chen"));

    // Over what is there, on purpose; and not from a damaged file.
    done(&kith(&copy, dir.path(), &["restore", file, "--force"]));
    assert_eq!(
        text(&copy.pool, "select count(*)::text from kith.source").await,
        "1"
    );
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, &bytes).unwrap();
    let damaged = kith(&copy, dir.path(), &["restore", file, "--force"]);
    assert_eq!(damaged.status.code(), Some(2));
    assert_eq!(counts(&copy.pool).await, new, "nothing was changed");
}

/// Rows by table, logins apart; those of the sequence's test row too.
async fn counts(pool: &PgPool) -> Vec<(String, i64)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c where c.relnamespace = 'kith'::regnamespace and c.relkind in ('r', 'p')
         and not c.relispartition order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let mut counts = Vec::new();
    for table in tables {
        let n = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from kith.{table}")))
            .fetch_one(pool)
            .await
            .unwrap();
        counts.push((table, n));
    }
    counts
}

async fn text(pool: &PgPool, statement: &str) -> String {
    sqlx::query_scalar(sqlx::AssertSqlSafe(
        statement.replace("from event", "from kith.event"),
    ))
    .fetch_one(pool)
    .await
    .unwrap()
}
