//! What an operator sees of the daemons that run: their mode on every page and in `status`, and the figures of `/metrics`.

use kith::domain::role::Role;
use kith::engine::{doctor, meters, status};
use kith::web::{self, WebState};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio_util::sync::CancellationToken;

use super::site::{Site, listen, start};

async fn told(site: &Site) -> (String, String, String) {
    let session = site.session(Role::Operator).await;
    let page = site.colleague(&session, "GET", "/").send().await.unwrap();
    let page = page.text().await.unwrap();
    let mut conn = site.db.pool.acquire().await.unwrap();
    let settings = &site.deps().settings;
    let status = status::status(&mut conn, settings, start()).await.unwrap();
    let found = doctor::examine(&mut conn, settings, start(), start())
        .await
        .unwrap();
    let daemons = found.findings.into_iter().find(|f| f.area == "daemons").unwrap();
    let status = status.to_string();
    let mode = status.lines().find(|line| line.starts_with("mode")).unwrap();
    (page, mode.to_owned(), daemons.to_string())
}

#[tokio::test]
async fn the_mode_is_that_of_the_daemons_that_run() {
    let site = Site::open().await;
    let run = async |sql: &'static str| sqlx::query(sql).execute(&site.db.pool).await.unwrap();
    let (page, mode, daemons) = told(&site).await;
    assert!(page.contains("sandbox: nothing leaves this machine"), "{page}");
    assert_eq!(mode, "mode      sandbox");
    assert!(
        daemons.starts_with("ok") && daemons.ends_with("mode sandbox"),
        "{daemons}"
    );

    run("update daemon set mode = 'live'").await;
    let (page, mode, daemons) = told(&site).await;
    assert!(page.contains("mode-live") && !page.contains("nothing leaves this machine"));
    assert_eq!(
        mode,
        "mode      live (the configuration of this command says sandbox)"
    );
    assert!(
        daemons.contains("mode live; the configuration of this command says sandbox"),
        "{daemons}"
    );

    run("insert into daemon (id, host, pid, roles, version, mode, started_at, heartbeat_at)
         select gen_random_uuid(), 'other', 2, roles, version, 'rehearsal', started_at, clock_timestamp() from daemon")
    .await;
    let (page, mode, daemons) = told(&site).await;
    assert!(
        page.contains("mode-mixed") && page.contains("the daemons&#x27; modes differ"),
        "{page}"
    );
    assert_eq!(
        mode,
        "mode      THEY DIFFER: 1 rehearsal, 1 live; stop the daemons that should not send"
    );
    assert!(daemons.starts_with("WRONG"), "{daemons}");

    // One that has not been heard of for too long says nothing any more.
    run("update daemon set heartbeat_at = heartbeat_at - interval '1 hour'").await;
    let (page, mode, daemons) = told(&site).await;
    assert!(page.contains("no daemon runs"), "{page}");
    assert_eq!(
        mode,
        "mode      none: no daemon runs; started with this configuration it would be sandbox"
    );
    assert!(daemons.starts_with("WRONG"), "{daemons}");
}

/// One test for all of it: a process counts once.
#[tokio::test]
async fn figures_are_there_from_the_start_and_follow_the_database() {
    let handle = PrometheusBuilder::new().install_recorder().unwrap();
    let site = Site::open().await;
    meters::begin(&site.deps().settings);
    let ann = site.somebody("en").await;
    let stop = CancellationToken::new();
    // Each listener reads for itself; one alone shows the same for some seconds.
    let opened = async || {
        let state = WebState::new(site.deps().clone(), Some(handle.clone()));
        format!("{}/metrics", listen(web::admin_router(state), &stop).await)
    };
    let ask = async |url: String| site.http.get(url).send().await.unwrap().text().await.unwrap();
    let url = opened().await;
    let text = ask(url).await;
    for line in [
        "# HELP kith_attempts_total Attempts to hand a message over",
        "# TYPE kith_queue_touches gauge",
        "kith_queue_touches{class=\"marketing\",state=\"due\"} 0",
        "kith_queue_oldest_due_seconds{class=\"care\"} 0",
        "kith_daemons_alive{mode=\"sandbox\"} 1",
        "kith_daemons_alive{mode=\"live\"} 0",
        "kith_brake 0",
        "kith_uncertain_messages 0",
        "kith_uncertain_total 0",
        "kith_outcomes_refused_total 0",
        "kith_sender_pauses_total{sender=\"twilio\"} 0",
        "kith_sender_breaks_total{sender=\"twilio\"} 0",
        "kith_parked_events 0",
        "kith_database_up 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    for name in [
        "kith_attempts_total{channel=\"sms\",outcome=\"uncertain\"}",
        "kith_events_total{type=\"quote\"}",
    ] {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }

    sqlx::query(
        "insert into queue (touch_id, shard, message_id, enrollment_id, contact_id, account_id, cadence, cadence_version_id,
                            step_key, class, channel, due_at, first_due_at, expires_at, held)
         select gen_random_uuid(), 0, gen_random_uuid(), gen_random_uuid(), $1, $1, 'c', gen_random_uuid(), 's', 3, 'email',
                $2::timestamptz - make_interval(secs => n), $2, $2, case when n < 0 then 'quiet-hours' end
         from unnest(array[90, 30, -600]) n",
    )
    .bind(ann.contact)
    .bind(start())
    .execute(&site.db.pool)
    .await
    .unwrap();
    let run = async |sql: &'static str| sqlx::query(sql).execute(&site.db.pool).await.unwrap();
    run("update message set outcome = 'uncertain' where channel = 'sms'").await;
    run("update control set brake = true").await;
    let url = opened().await;
    let text = ask(url.clone()).await;
    for line in [
        "kith_queue_touches{class=\"marketing\",state=\"due\"} 2",
        "kith_queue_touches{class=\"marketing\",state=\"held\"} 1",
        "kith_queue_oldest_due_seconds{class=\"marketing\"} 90",
        "kith_held_touches{reason=\"quiet-hours\"} 1",
        "kith_uncertain_messages 1",
        "kith_brake 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    // Asked again at once it does not ask the database again.
    run("update control set brake = false").await;
    assert!(ask(url).await.contains("kith_brake 1"));
    stop.cancel();
}
