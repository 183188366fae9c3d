//! Connecting, migrating and the check of the schema's version.

use kith::store::{self, StoreError};

use crate::harness::TestDb;

async fn search_path(pool: &sqlx::PgPool) -> String {
    sqlx::query_scalar("show search_path")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn migrating_points_open_and_new_sessions_at_the_schema() {
    let db = TestDb::empty().await;
    assert_ne!(search_path(&db.pool).await, "kith, public");
    store::migrate(&db.pool).await.unwrap();
    assert_eq!(
        search_path(&db.pool).await,
        "kith, public",
        "also in a pool that was open before"
    );
    let other = store::connect(db.options.clone(), 1).await.unwrap();
    assert_eq!(search_path(&other).await, "kith, public");
    store::migrate(&db.pool).await.unwrap();
    store::check_schema(&db.pool).await.unwrap();
}

/// As a daemon that is stopped in the middle of a transaction: the locks it holds are free after five seconds, while an import
/// or a backup may take its time.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stands_still_in_a_transaction_loses_it() {
    let db = TestDb::new().await;
    let mut patient = db.pool.begin().await.unwrap();
    store::unhurried(&mut patient).await.unwrap();
    let mut still = db.pool.begin().await.unwrap();
    sqlx::query("select 1 from control for update")
        .execute(&mut *still)
        .await
        .unwrap();
    let waiting = sqlx::query("update control set brake_reason = 'got it'").execute(&db.pool);
    crate::rig::within(waiting)
        .await
        .expect("within the ten seconds that a statement waits for a lock");
    let lost = sqlx::query("select 1").execute(&mut *still).await;
    assert!(lost.is_err(), "the transaction is gone");
    sqlx::query("select 1").execute(&mut *patient).await.unwrap();
}

#[test]
fn the_futures_can_be_spawned() {
    fn spawnable<T: Send + 'static>(_: impl FnOnce(sqlx::PgPool) -> T) {}
    spawnable(|pool| async move { store::migrate(&pool).await });
    spawnable(|pool| async move { store::check_schema(&pool).await });
    spawnable(|_| kith::postgres::start(kith::postgres::EmbeddedOptions::default()));
}

#[tokio::test]
async fn many_processes_may_migrate_at_once() {
    let db = TestDb::empty().await;
    let all = (0..4).map(|_| store::migrate(&db.pool));
    for done in futures::future::join_all(all).await {
        done.unwrap();
    }
    store::check_schema(&db.pool).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_versions() {
    let db = TestDb::new().await;
    sqlx::query(
        "insert into kith._sqlx_migrations (version, description, success, checksum, execution_time)
         values (990001, 'of the future', true, '', 0)",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    for refused in [
        store::check_schema(&db.pool).await,
        store::migrate(&db.pool).await,
    ] {
        assert!(
            matches!(refused, Err(StoreError::SchemaTooNew { found: 990_001, .. })),
            "{refused:?}"
        );
    }
}
