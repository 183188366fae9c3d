-- How fast: grants per sender, provider, recipient domain and, while it is new, domain of From; shared by all daemons.
create table pace_grant (
    kind    text not null check (kind in ('sender', 'provider', 'domain', 'from')),
    key     text not null,
    version bigint not null,                      -- raised by every take; whoever read an older one has taken nothing
    level   timestamptz,                          -- moved on by every grant
    line    timestamptz[] not null,               -- the end of the line of each class
    day     date,
    used    integer not null,                     -- grants of that day
    primary key (kind, key)
) with (fillfactor = 50);

-- How far each audience has been asked: all transactions below the horizon had ended.
create table audience_pass (
    cadence            text primary key,
    cadence_version_id uuid not null,
    at                 timestamptz not null,
    horizon            xid8 not null,
    zone               text not null
);

create index fact_change_xid on fact_change (xid);
-- One for each fact that time alone makes true or false: an audience looks for what crossed the edge since it looked last.
create index account_since on account (standing_since) where standing_since is not null;
create index account_lost on account (lost_at) where lost_at is not null;
create index account_won_back on account (won_back_at) where won_back_at is not null;
create index account_purchase on account (last_purchase_at) where last_purchase_at is not null;
create index contact_human on contact (last_human_at) where last_human_at is not null;
create index contact_leave on contact (leave_until) where leave_until is not null;
create index lead_grade_since on lead (grade_since) where grade_since is not null;
create index lead_expected on lead (expected_on) where expected_on is not null;
create index lead_close on lead (expected_close) where expected_close is not null;
create index lead_opened on lead (opened_at) where opened_at is not null;
create index lead_closed on lead (closed_at) where closed_at is not null;
create index enrollment_ended on enrollment (cadence, ended_at) where ended_at is not null;
create index event_occurred on event (occurred_at) where human and contact_id is not null;
