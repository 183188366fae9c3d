//! Ready for more databases: every table of people can be made `partition by hash (shard)`, and the hot statements, as they
//! stand, touch one partition where the shard is given.
//!
//! The migrations' own text is rewritten into a schema of its own. The shard is given by views of the tables' names that hold
//! one shard, so that not a word of a statement is changed but the key in `on conflict (..)`, which gets the shard too.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::harness::TestDb;

/// Tables of people that have their shard already.
const WITH_SHARD: &[&str] = &[
    "account",
    "contact",
    "lead",
    "enrollment",
    "touch",
    "queue",
    "message",
    "task",
];

/// Tables of people whose shard is that of the row they hang on: a column to add and to fill when there is a second database.
const SHARD_OF: &[(&str, &str)] = &[
    ("consent", "contact_id"),
    ("lead_contact", "lead_id"),
    ("evidence", "lead_id"),
    ("grade_change", "lead_id"),
    ("purchase", "account_id"),
    ("standing_change", "account_id"),
    ("message_body", "message_id"),
    ("decision", "contact_id"),
    ("event", "contact_id"),
    ("grievance", "account_id"),
    ("fact_change", "contact_id"),
];

/// Tables about people that belong to no one account, and why they would be the same on each database, or apart.
const WHOLE: &[(&str, &str)] = &[
    (
        "suppression",
        "an address is whose it is today; asked by its hash, on every database",
    ),
    ("contact_ref", "finds the shard of a person by his external id"),
    (
        "event_key",
        "refuses a second copy of an event before anybody knows whose it is",
    ),
    ("event_parked", "names nobody known"),
    ("pace", "a number, a sender or a domain is shared by accounts"),
];

/// Unique keys of tables with a shard that do not begin with something that one account owns. With the shard before them
/// they hold within a shard only; what keeps them right across shards is said.
const SHARED_KEYS: &[(&str, &str)] = &[
    (
        "account (source_id, external_id)",
        "the import finds the account, and so its shard, by a directory such as contact_ref first",
    ),
    (
        "lead (source_id, external_id)",
        "the import finds the account first",
    ),
    (
        "purchase (source_id, external_id)",
        "the import finds the account first",
    ),
    ("task (dedup_key)", "begins with the lead's id as text"),
];

/// The hot statements: file and function under `src/store`.
const HOT: &[(&str, &str)] = &[
    ("queue", "hold"),
    ("queue", "skip"),
    ("queue", "give_back_all_but"),
    ("crossing", "cross"),
    ("outcome", "finish"),
    ("outcome", "again"),
    ("facts", "for_gate"),
    ("facts", "colleagues_due"),
    ("facts", "persons"),
    ("decision", "append"),
    ("touch", "insert"),
    ("enrollment", "due"),
    ("enrollment", "advance"),
    ("enrollment", "end"),
    ("body", "keep"),
    ("body", "of"),
    ("event", "insert"),
];

/// Hot statements that find work wherever it is, and why that is right: each database asks for its own.
const FIND: &[(&str, &str, &str)] = &[(
    "queue",
    "claim",
    "what is due is found by time and not by person; given the shard it keeps to it, which is what a database would ask of its own",
)];

const PARTS: usize = 4;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn migrations() -> String {
    let mut files: Vec<_> = fs::read_dir(root().join("migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    let without_comments = |text: String| {
        let lines = text
            .lines()
            .map(|line| line.split("--").next().unwrap().trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    };
    texts.map(without_comments).collect::<Vec<_>>().join("\n")
}

fn sharded() -> BTreeSet<&'static str> {
    let added = SHARD_OF.iter().map(|(table, _)| *table);
    WITH_SHARD.iter().copied().chain(added).collect()
}

/// Name and body of a `create table`.
fn table_of(statement: &str) -> Option<(&str, &str)> {
    let rest = statement.trim().strip_prefix("create table ")?;
    let (name, body) = rest.split_once(" (")?;
    Some((name, body.rsplit_once(')').map_or(body, |(body, _)| body)))
}

/// The parts of a table's body, one column or key each: commas outside brackets and quotes.
fn columns(body: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth, mut quoted) = (Vec::new(), String::new(), 0, false);
    for c in body.chars() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(std::mem::take(&mut part).trim().to_owned());
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part.trim().to_owned());
    parts
}

/// A table with the shard before each of its keys, in partitions. Its unique keys are told.
fn partitioned(name: &str, body: &str, keys: &mut Vec<String>) -> String {
    let body = match body.split_once("\n) ") {
        Some((body, _)) => body,
        None => body,
    };
    let mut lines = Vec::new();
    let mut key = |kind: &str, columns: &str, lines: &mut Vec<String>| {
        keys.push(format!("{name} ({columns})"));
        lines.push(format!("{kind} (shard, {columns})"));
    };
    let mut added = Vec::new();
    for column in columns(body) {
        let first = column.split_whitespace().next().unwrap().to_owned();
        if let Some(rest) = column.strip_prefix("primary key (") {
            key("primary key", rest.trim_end_matches(')'), &mut added);
        } else if let Some(rest) = column.strip_prefix("unique (") {
            key("unique", rest.trim_end_matches(')'), &mut added);
        } else {
            // Numbers made by one database would meet those of another: the program would make them.
            let plain = column
                .replace(" primary key", "")
                .replace(" unique", "")
                .replace(" generated always as identity", " not null");
            lines.push(plain);
            for (word, kind) in [(" primary key", "primary key"), (" unique", "unique")] {
                if column.contains(word) {
                    key(kind, &first, &mut added);
                }
            }
        }
    }
    if !WITH_SHARD.contains(&name) {
        lines.push("shard smallint not null default 0".to_owned());
    }
    lines.extend(added);
    let part = |n| {
        format!(
            "create table {name}_p{n} partition of {name} for values with (modulus {PARTS}, remainder {n})"
        )
    };
    let parts: Vec<String> = (0..PARTS).map(part).collect();
    format!(
        "create table {name} ({}) partition by hash (shard);\n{}",
        lines.join(", "),
        parts.join(";\n")
    )
}

/// The migrations with every table of people in partitions by shard, and the unique keys of those tables.
fn rewritten() -> (String, Vec<String>) {
    let sharded = sharded();
    let mut keys = Vec::new();
    let text = migrations();
    let statements = text
        .split(';')
        .map(str::trim)
        .filter(|statement| !statement.is_empty());
    let mut out = Vec::new();
    for statement in statements {
        if statement.contains(" partition of ") {
            continue;
        }
        match table_of(statement) {
            Some((name, body)) if sharded.contains(name) => out.push(partitioned(name, body, &mut keys)),
            _ => {
                let unique = statement.strip_prefix("create unique index ").and_then(|rest| {
                    let (_, on) = rest.split_once(" on ")?;
                    let (table, columns) = on.split_once(" (")?;
                    sharded.contains(table).then_some((table, columns))
                });
                match unique {
                    Some((table, columns)) => {
                        let named = columns.split(") where").next().unwrap().trim_end_matches(')');
                        keys.push(format!(
                            "{table} ({})",
                            named.split_whitespace().collect::<Vec<_>>().join(" ")
                        ));
                        out.push(statement.replacen(" (", " (shard, ", 1));
                    }
                    None => out.push(statement.to_owned()),
                }
            }
        }
    }
    (out.join(";\n"), keys)
}

async fn lay_out(conn: &mut PgConnection, ddl: String) {
    let person = sharded();
    let view = |table| format!("create view one.{table} as select * from parted.{table} where shard = 7;");
    let views: Vec<String> = person.into_iter().map(view).collect();
    let script = format!(
        "create schema parted; set search_path = parted;\n{ddl};\ncreate schema one;\n{}
         set search_path = one, parted; set plan_cache_mode = force_generic_plan; set enable_partition_pruning = on;",
        views.join("\n")
    );
    sqlx::raw_sql(AssertSqlSafe(script)).execute(conn).await.unwrap();
}

/// The first statement that a function of the store makes.
fn statement(file: &str, function: &str) -> String {
    let source = fs::read_to_string(root().join(format!("src/store/{file}.rs"))).unwrap();
    let from = source
        .find(&format!("pub async fn {function}("))
        .unwrap_or_else(|| panic!("src/store/{file}.rs has no function {function}"));
    let body = &source[from..];
    let open = body.find("r#\"").unwrap();
    let close = body[open..].find("\"#").unwrap() + open;
    body[open + 3..close].replace("on conflict (", "on conflict (shard, ")
}

/// The partitions that a statement's plan looks at, by table.
async fn looked_at(conn: &mut PgConnection, sql: &str) -> BTreeMap<String, BTreeSet<String>> {
    let run = |text: String| sqlx::raw_sql(AssertSqlSafe(text));
    run(format!("prepare hot as {sql}"))
        .execute(&mut *conn)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{sql}"));
    let count: i32 = sqlx::query_scalar(
        "select cardinality(parameter_types) from pg_prepared_statements where name = 'hot'",
    )
    .persistent(false)
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    let nulls = vec!["null"; count as usize].join(", ");
    let arguments = if count == 0 {
        String::new()
    } else {
        format!("({nulls})")
    };
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(format!(
        "explain (format json) execute hot{arguments}"
    )))
    .persistent(false)
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    run("deallocate hot".to_owned())
        .execute(&mut *conn)
        .await
        .unwrap();
    let mut found = BTreeMap::new();
    relations(&plan, &mut found);
    found
}

fn relations(plan: &Value, found: &mut BTreeMap<String, BTreeSet<String>>) {
    match plan {
        Value::Array(list) => list.iter().for_each(|one| relations(one, found)),
        Value::Object(map) => {
            if let Some(Value::String(name)) = map.get("Relation Name")
                && let Some((table, part)) = name.rsplit_once("_p")
                && part.parse::<usize>().is_ok()
            {
                found.entry(table.to_owned()).or_default().insert(name.clone());
            }
            map.values().for_each(|one| relations(one, found));
        }
        _ => {}
    }
}

async fn connection(db: &TestDb) -> PgConnection {
    PgConnection::connect_with(&db.options).await.unwrap()
}

#[tokio::test]
async fn every_table_of_people_takes_partitions_by_shard() {
    let db = TestDb::empty().await;
    let mut conn = connection(&db).await;
    let (ddl, keys) = rewritten();
    lay_out(&mut conn, ddl).await;
    let partitioned: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relkind = 'p' and relnamespace = 'parted'::regnamespace",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert_eq!(
        partitioned.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        sharded(),
        "the lists and the schema say the same"
    );
    // Whatever holds a person, an account, a lead, a touch or a message is on one of the lists.
    let about: Vec<String> = sqlx::query_scalar(
        "select distinct c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = 'parted'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
           and a.attname in ('contact_id', 'account_id', 'lead_id', 'touch_id', 'message_id', 'shard', 'address_hash')",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let listed = |table: &str| sharded().contains(table) || WHOLE.iter().any(|(name, _)| *name == table);
    // A digest goes to a colleague, a sandbox message nowhere.
    let strangers: Vec<_> = about
        .iter()
        .filter(|table| !listed(table) && !["digest", "sandbox_message"].contains(&table.as_str()))
        .collect();
    assert!(
        strangers.is_empty(),
        "say of these whether they have a shard: {strangers:?}"
    );
    // Each unique key begins with what one account owns, or says why not.
    for key in keys {
        let (_, columns) = key.split_once(" (").unwrap();
        let owned = [
            "id",
            "contact_id",
            "account_id",
            "lead_id",
            "enrollment_id",
            "touch_id",
            "message_id",
            "seq",
        ];
        let first = columns.split([',', ')']).next().unwrap();
        let audience = first == "audience_version_id" && columns.contains("contact_id");
        assert!(
            owned.contains(&first) || audience || SHARED_KEYS.iter().any(|(known, _)| *known == key),
            "{key} begins with nothing that one account owns"
        );
    }
}

#[tokio::test]
async fn hot_statements_keep_to_one_partition_where_the_shard_is_given() {
    let db = TestDb::empty().await;
    let mut conn = connection(&db).await;
    lay_out(&mut conn, rewritten().0).await;
    let all = HOT
        .iter()
        .copied()
        .chain(FIND.iter().map(|(file, function, _)| (*file, *function)));
    for (file, function) in all {
        let sql = statement(file, function);
        let found = looked_at(&mut conn, &sql).await;
        let people = sharded().into_iter().any(|table| sql.contains(table));
        assert!(people, "{file}::{function} is about no table of people");
        for (table, parts) in &found {
            assert_eq!(parts.len(), 1, "{file}::{function} looks at {parts:?} of {table}");
        }
    }
    // The measure itself can fail: without the shard the same statement looks everywhere.
    sqlx::raw_sql("set search_path = parted")
        .execute(&mut conn)
        .await
        .unwrap();
    let found = looked_at(&mut conn, &statement("facts", "for_gate")).await;
    assert_eq!(found["queue"].len(), PARTS, "{found:?}");
}
