//! Every `*_id` of the schema: whether it is a foreign key, whether it leads an index, and why, in one word.
//!
//! Foreign keys are for the small tables; an index is for what is searched by. The words: *small* table with a foreign key;
//! *searched* by; *scoped*, second in a key that begins with the source; *resolved* when used, so that rows may come in any
//! order; *carried* along and never searched by; *pinned* version or owner of work, read with its row; *single* row;
//! *sandbox* only. A new column must be put here, with a reason.

use crate::harness::TestDb;

/// Column, foreign key, leads an index, why.
const IDS: &[(&str, bool, bool, &str)] = &[
    ("account.external_id", false, false, "scoped"),
    ("account.parent_external_id", false, false, "resolved"),
    ("account.source_id", true, true, "small"),
    ("app_user.owner_id", true, false, "small"),
    ("audience_pass.cadence_version_id", false, false, "pinned"),
    ("campaign.external_id", false, false, "scoped"),
    ("campaign.source_id", true, true, "small"),
    ("consent.contact_id", false, true, "searched"),
    ("contact.account_id", false, true, "searched"),
    ("contact.owner_id", false, false, "carried"),
    ("contact_ref.contact_id", false, true, "searched"),
    ("contact_ref.external_id", false, false, "scoped"),
    ("contact_ref.source_id", false, true, "searched"),
    ("control.database_id", false, false, "single"),
    ("control.live_database_id", false, false, "single"),
    ("decision.contact_id", false, true, "searched"),
    ("decision.touch_id", false, false, "carried"),
    ("digest.daemon_id", false, false, "pinned"),
    ("digest.message_id", false, false, "carried"),
    ("digest.owner_id", true, true, "small"),
    ("document.version_id", false, false, "pinned"),
    ("enrollment.account_id", false, false, "carried"),
    ("enrollment.cadence_version_id", false, false, "pinned"),
    ("enrollment.contact_id", false, true, "searched"),
    ("enrollment.lead_id", false, true, "searched"),
    ("event.account_id", false, false, "carried"),
    ("event.contact_id", false, true, "searched"),
    ("event.lead_id", false, true, "searched"),
    ("event.message_id", false, true, "searched"),
    ("event.touch_id", false, false, "carried"),
    ("event_key.event_id", false, false, "carried"),
    ("event_parked.message_id", false, true, "searched"),
    ("evidence.event_id", false, false, "carried"),
    ("evidence.lead_id", false, true, "searched"),
    ("fact_change.contact_id", false, false, "carried"),
    ("grade_change.lead_id", false, true, "searched"),
    ("grievance.account_id", false, true, "searched"),
    ("grievance.contact_id", false, false, "carried"),
    ("grievance.event_id", false, false, "carried"),
    ("lead.account_id", false, true, "searched"),
    ("lead.campaign_id", false, false, "carried"),
    ("lead.external_id", false, false, "scoped"),
    ("lead.owner_id", false, false, "carried"),
    ("lead.source_id", true, true, "small"),
    ("lead_contact.contact_id", false, true, "searched"),
    ("lead_contact.lead_id", false, true, "searched"),
    ("link.template_version_id", false, true, "searched"),
    ("message.account_id", false, false, "carried"),
    ("message.contact_id", false, true, "searched"),
    ("message.lead_id", false, false, "carried"),
    ("message.template_version_id", false, false, "pinned"),
    ("message.touch_id", false, false, "carried"),
    ("message_body.message_id", false, true, "searched"),
    ("owner.deputy_external_id", false, false, "resolved"),
    ("owner.external_id", false, false, "scoped"),
    ("owner.source_id", true, true, "small"),
    ("purchase.account_id", false, true, "searched"),
    ("purchase.contact_id", false, false, "carried"),
    ("purchase.external_id", false, false, "scoped"),
    ("purchase.source_id", false, true, "searched"),
    ("queue.account_id", false, true, "searched"),
    ("queue.cadence_version_id", false, false, "pinned"),
    ("queue.contact_id", false, true, "searched"),
    ("queue.daemon_id", false, false, "pinned"),
    ("queue.enrollment_id", false, false, "carried"),
    ("queue.lead_id", false, false, "carried"),
    ("queue.message_id", false, false, "carried"),
    ("queue.touch_id", false, true, "searched"),
    ("sandbox_message.message_id", false, false, "sandbox"),
    ("standing_change.account_id", false, true, "searched"),
    ("suppression.event_id", false, false, "carried"),
    ("task.account_id", false, false, "carried"),
    ("task.contact_id", false, true, "searched"),
    ("task.lead_id", false, true, "searched"),
    ("task.owner_id", false, true, "searched"),
    ("task.touch_id", false, true, "searched"),
    ("touch.contact_id", false, true, "searched"),
    ("touch.enrollment_id", false, true, "searched"),
    ("touch.message_id", false, true, "searched"),
    ("web_session.user_id", true, false, "small"),
];

#[tokio::test]
async fn every_id_has_its_reason() {
    let db = TestDb::new().await;
    let mut found: Vec<(String, bool, bool)> = sqlx::query_as(
        "select c.relname || '.' || a.attname,
                exists (select 1 from pg_constraint k where k.conrelid = c.oid and k.contype = 'f' and a.attnum = any (k.conkey)),
                exists (select 1 from pg_index i where i.indrelid = c.oid and i.indkey[0] = a.attnum)
         from pg_class c
         join pg_attribute a on a.attrelid = c.oid
         join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'kith' and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0
           and a.attname like '%\\_id'
         order by 1",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    let mut listed: Vec<(String, bool, bool)> = IDS
        .iter()
        .map(|(name, key, index, _)| ((*name).to_owned(), *key, *index))
        .collect();
    listed.sort();
    found.sort();
    assert_eq!(found, listed);
    assert!(IDS.iter().all(|(.., why)| !why.is_empty() && !why.contains(' ')));
}
