//! Every acting route of the page, and who may use it.

use kith::domain::role::Role;
use uuid::Uuid;

use super::site::{Site, start};

type Form = &'static [(&'static str, &'static str)];

const ROLES: [Role; 4] = [Role::Operator, Role::Marketer, Role::Lead, Role::Rep];

#[tokio::test]
async fn each_acting_route_asks_for_its_right() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let task = format!("/tasks/{}", ann.task);
    sqlx::query("update control set simulated_now = $1")
        .bind(start())
        .execute(&site.db.pool)
        .await
        .unwrap();
    // Path, form, and who may: operator, marketer, lead, rep.
    let routes: [(&str, Form, [bool; 4]); 3] = [
        (
            "/brake",
            &[("on", "true"), ("reason", "test")],
            [true, false, false, false],
        ),
        (
            &task,
            &[("do", "snooze"), ("until", "3")],
            [true, false, true, true],
        ),
        ("/demo/advance", &[("days", "1")], [true, false, false, false]),
    ];
    for (at, role) in ROLES.into_iter().enumerate() {
        let session = site.session(role).await;
        for (path, form, may) in &routes {
            let response = site
                .colleague(&session, "POST", path)
                .header("accept", "text/html")
                .form(form)
                .send()
                .await
                .unwrap();
            let status = response.status().as_u16();
            let body = response.text().await.unwrap();
            assert_eq!(status, if may[at] { 303 } else { 403 }, "{role} {path}: {body}");
            assert!(may[at] || body.contains("You may not do this here."), "{body}");
        }
        for page in ["/", "/leads", "/pyramid", "/tasks", "/people?q=ann", "/sandbox"] {
            let response = site.colleague(&session, "GET", page).send().await.unwrap();
            assert_eq!(response.status(), 200, "{role} {page}");
            if page == "/tasks" {
                let buttons = response.text().await.unwrap().contains("name=\"do\"");
                assert!(!buttons || routes[1].2[at], "{role} sees buttons that do nothing");
            }
        }
    }
    let brakes = "select count(*) from audit where verb = 'brake on'";
    assert_eq!(site.count(brakes).await, 1, "only the operator's");
}

#[tokio::test]
async fn a_rep_leaves_the_tasks_of_others_alone() {
    let site = Site::open().await;
    let ann = site.somebody("en").await;
    let other = site.deps().ids.next(start());
    sqlx::query(
        "insert into owner (id, source_id, external_id, name) select $1, id, 'o-1', 'Olga' from source limit 1",
    )
    .bind(other)
    .execute(&site.db.pool)
    .await
    .unwrap();
    sqlx::query("update task set owner_id = $1")
        .bind::<Uuid>(other)
        .execute(&site.db.pool)
        .await
        .unwrap();
    for (role, status) in [(Role::Rep, 403), (Role::Lead, 303)] {
        let session = site.session(role).await;
        let act = site.colleague(&session, "POST", &format!("/tasks/{}", ann.task));
        let response = act
            .form(&[("do", "done"), ("outcome", "talked")])
            .send()
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), status, "{role}");
    }
}
