-- The first schema. Names are unqualified: the schema `kith` comes from the role's search_path.
-- States are text with a check; ids are uuid v7 made by the program; foreign keys only among the small tables.

-- One row: what holds for the whole database.
create table control (
    one               boolean primary key default true check (one),
    database_id       uuid not null default gen_random_uuid(),
    system_identifier text,                       -- of the server that was last known; a change means restore, copy or failover
    timeline          integer,
    live_database_id  uuid,                       -- live mode is bound to this identity
    former_ids        uuid[] not null default '{}', -- identities of the databases this one was restored from
    settled_at        timestamptz,                -- business time: an operator answers for what was sent before
    brake             boolean not null default false,
    brake_reason      text,
    brake_by          text,
    brake_at          timestamptz,
    token_key         bytea not null default decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'),
    address_key       bytea not null default decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'),
    simulated_now     timestamptz,                -- set while a simulated clock is in force
    simulated_target  timestamptz                 -- where it has been asked to go
);
insert into control default values;

create table daemon (
    id           uuid primary key,
    epoch        bigint not null default 1,
    host         text not null,
    pid          integer not null,
    roles        text[] not null,
    version      text not null,
    mode         text not null check (mode in ('sandbox', 'rehearsal', 'live')),
    started_at   timestamptz not null,            -- lease time: the database's clock
    heartbeat_at timestamptz not null,
    ended_at     timestamptz,
    inherited    boolean not null default false,  -- ended, and nothing of its work is left: nobody need look through the queue for it
    braked       boolean not null default false   -- the brake once more, on the row that each crossing of this daemon locks
);

create table source (
    id   smallint generated always as identity primary key,
    name text not null unique
);

create table owner (
    id          uuid primary key,
    source_id   smallint not null references source (id),
    external_id text not null,
    name        text not null,
    email       text,
    phone       text,
    timezone    text,
    from_email  text,
    signature   text,
    deputy_external_id text,                      -- of the same source; resolved when used, so rows may come in any order
    away_from   date,
    away_until  date,
    unique (source_id, external_id)
);

create table campaign (
    id          uuid primary key,
    source_id   smallint not null references source (id),
    external_id text not null,
    name        text not null,
    kind        text,
    channel     text,
    date        date,
    budget      numeric,
    cost        numeric,
    unique (source_id, external_id)
);

-- The customer: an organisation, or a contact standing alone (then its id is the contact's).
create table account (
    id             uuid primary key,
    shard          smallint not null,
    kind           text not null check (kind in ('organisation', 'person')),
    source_id      smallint references source (id),
    external_id    text,
    name           text not null,
    industry       text,
    size           text,
    region         text,
    parent_external_id text,
    standing       text not null default 'suspect'
                   check (standing in ('vip', 'key', 'normal', 'small', 'inactive', 'prospect', 'suspect')),
    standing_since timestamptz,
    tier_at_loss   text,
    lost_at        timestamptz,
    won_back_at    timestamptz,
    last_purchase_at timestamptz,
    unique (source_id, external_id)
);
create index account_name on account (lower(name) text_pattern_ops) where kind = 'organisation';
create index account_standing on account (standing) where standing <> 'suspect';

create table contact (
    id                uuid primary key,
    shard             smallint not null,
    account_id        uuid not null,
    merged_into       uuid,
    name              text not null,
    email             text,
    email_hash        bytea,                      -- keyed hash of the normalised address, as in suppression
    phone             text,                       -- E.164
    phone_hash        bytea,
    locale            text,
    timezone          text,
    region            text,
    birthday          text,                       -- '1990-08-15', '08-15', '1990-L06-10'
    birthday_calendar text check (birthday_calendar in ('gregorian', 'lunar')),
    next_birthday_on  date,
    next_birthday_key text,
    role              text,
    decision_maker    boolean,
    owner_id          uuid,
    preferred_channel text check (preferred_channel in ('email', 'sms', 'phone')),
    best_time         text,
    referred_by       text,
    attrs             jsonb not null default '{}',
    consent_email     boolean,                    -- folded from consent; null = never asked
    consent_sms       boolean,
    consent_source    text,
    leave_until       date,                       -- "leave to me until", said by the owner
    last_human_at     timestamptz                 -- a human contact logged last
);
create index contact_account on contact (account_id);
-- These find whole addresses and beginnings of them.
create index contact_email on contact (email text_pattern_ops) where email is not null;
create index contact_phone on contact (phone text_pattern_ops) where phone is not null;
create index contact_name on contact (lower(name) text_pattern_ops);
create index contact_surname on contact (lower(split_part(name, ' ', -1)) text_pattern_ops) where name like '% %';
create index contact_birthday on contact (next_birthday_on) where next_birthday_on is not null;

create table contact_ref (
    source_id   smallint not null,
    external_id text not null,
    contact_id  uuid not null,
    primary key (source_id, external_id)
);
create index contact_ref_contact on contact_ref (contact_id);

-- Permission, append-only; folded into contact.consent_*.
create table consent (
    contact_id uuid not null,
    at         timestamptz not null,
    id         uuid not null,
    channel    text not null check (channel in ('email', 'sms')),
    granted    boolean not null,
    purpose    text not null default 'marketing',
    basis      text not null,
    source     text not null,
    text_shown text,
    primary key (contact_id, at, id)
);

-- Never send to this address. Only the person, or for a spam report an operator with a reason, takes a row away.
create table suppression (
    address_hash bytea not null,
    channel      text not null check (channel in ('email', 'sms')),
    brand        text not null default '',        -- '' = every brand
    purpose      text not null default 'all' check (purpose in ('all', 'marketing')),
    reason       text not null check (reason in ('opted-out', 'spam-report', 'address-bad', 'operator', 'erased')),
    at           timestamptz not null,
    event_id     uuid,
    primary key (address_hash, channel, brand, purpose)
);

create table lead (
    id             uuid primary key,
    shard          smallint not null,
    account_id     uuid not null,
    source_id      smallint not null references source (id),
    external_id    text not null,
    owner_id       uuid,
    source_channel text,
    campaign_id    uuid,
    situation      text not null default 'greenfield' check (situation in ('greenfield', 'replacement')),
    grade          text check (grade in ('A', 'B', 'C', 'D')),   -- null = ungraded
    grade_since    timestamptz,
    factors        jsonb not null default '{}',   -- the fold, with what made each factor
    waiting_for    text,
    expected_on    date,
    expected_close date,
    likelihood     numeric,
    value          numeric,
    product        text,
    stage          text,
    opened_at      timestamptz,
    closed_at      timestamptz,
    outcome        text check (outcome in ('won', 'lost')),
    lost_reason    text,
    not_fit        text,                          -- the reason for giving up; no touches
    imported       jsonb not null default '{}',   -- factor cells as they came last, to see what an import changes
    regrade_at     timestamptz,                   -- when to assess again; null = nothing known will change it
    unique (source_id, external_id)
);
create index lead_account on lead (account_id);
create index lead_regrade on lead (regrade_at) where regrade_at is not null;
create index lead_grade on lead (grade) where closed_at is null;

create table lead_contact (
    lead_id    uuid not null,
    contact_id uuid not null,
    role       text,
    primary key (lead_id, contact_id)
);
create index lead_contact_contact on lead_contact (contact_id);

create table evidence (
    lead_id  uuid not null,
    at       timestamptz not null,
    id       uuid not null,
    event_id uuid,
    body     jsonb not null,
    primary key (lead_id, at, id)
);

create table grade_change (
    lead_id   uuid not null,
    at        timestamptz not null,
    id        uuid not null,
    before    text,
    after     text,
    reason    text not null,
    factors   jsonb not null,
    evidence  uuid[] not null,
    events    uuid[] not null,
    corrected boolean not null default false,
    primary key (lead_id, at, id)
);
create index grade_change_at on grade_change (at);

create table purchase (
    account_id  uuid not null,
    at          timestamptz not null,
    id          uuid not null,
    source_id   smallint not null,
    external_id text not null,
    contact_id  uuid,
    amount      numeric not null,
    currency    text not null,
    quantity    numeric,
    profit      numeric,
    product     text,
    primary key (account_id, at, id)
);
create unique index purchase_ref on purchase (source_id, external_id);
create index purchase_at on purchase (at);

-- Held boundaries of the pyramid, newest in force; re-basing is a visible act.
create table pyramid_base (
    id           uuid primary key,
    at           timestamptz not null,
    period_from  timestamptz not null,
    period_until timestamptz not null,
    vip_over     numeric not null,
    key_over     numeric not null,
    normal_over  numeric not null,
    actor        text not null
);

create table standing_change (
    account_id uuid not null,
    at         timestamptz not null,
    id         uuid not null,
    before     text not null,
    after      text not null,
    reason     text not null,
    primary key (account_id, at, id)
);

-- Everything that `apply` puts in force: cadences, templates, grading, retention, calendars, gate, brands, senders.
create table document (
    kind       text not null,
    name       text not null,
    version_id uuid,                              -- null = retired
    primary key (kind, name)
);
create table document_version (
    id         uuid primary key,
    kind       text not null,
    name       text not null,
    version    integer not null,
    hash       text not null,
    body       jsonb not null,
    applied_at timestamptz not null,
    applied_by text not null,
    unique (kind, name, version)
);

create table enrollment (
    id                 uuid primary key,
    shard              smallint not null,
    contact_id         uuid not null,
    account_id         uuid not null,
    lead_id            uuid,
    cadence            text not null,
    cadence_version_id uuid not null,
    entry_key          text not null,
    state              text not null check (state in ('active', 'control', 'finished', 'stopped')),
    reason             text,
    cursor             text not null,             -- key of the step that is next, or in flight
    visit              smallint not null default 1,
    next_at            timestamptz not null,      -- when `plan` looks at it
    entered_at         timestamptz not null,
    entry_reason       text not null,
    ended_at           timestamptz
) with (fillfactor = 80);
create unique index enrollment_entry on enrollment (contact_id, cadence, entry_key);
create unique index enrollment_live on enrollment (contact_id, cadence, coalesce(lead_id, '00000000-0000-0000-0000-000000000000'))
    where state in ('active', 'control');
create index enrollment_due on enrollment (next_at) where state in ('active', 'control');
create index enrollment_lead on enrollment (lead_id) where lead_id is not null;

create table touch (
    id            uuid primary key,
    enrollment_id uuid not null,
    shard         smallint not null,
    contact_id    uuid not null,
    step_key      text not null,
    visit         smallint not null,
    channel       text not null check (channel in ('email', 'sms', 'task')),
    due_at        timestamptz not null,           -- moves with each hold
    state         text not null check (state in ('queued', 'sent', 'skipped', 'failed', 'uncertain', 'cancelled')),
    reason        text,
    message_id    uuid not null,
    done_at       timestamptz,
    unique (enrollment_id, step_key, visit)
) with (fillfactor = 45);
create index touch_contact on touch (contact_id);
create index touch_message on touch (message_id);

-- Live work only: rows are deleted at the end; no predicate on any index, so that state changes stay HOT.
-- Neighbours change in one statement, so a page needs room for a second version of each (the same in touch and pace).
create table queue (
    touch_id      uuid primary key,
    shard         smallint not null,
    message_id    uuid not null,
    enrollment_id uuid not null,
    contact_id    uuid not null,
    account_id    uuid not null,
    lead_id       uuid,
    cadence       text not null,
    cadence_version_id uuid not null,
    step_key      text not null,
    address_hash  bytea,
    class         smallint not null,              -- 0 transactional, 1 alert, 2 care, 3 marketing
    channel       text not null check (channel in ('email', 'sms', 'task')),
    sender        text,
    due_at        timestamptz not null,           -- when to look at it (again)
    first_due_at  timestamptz not null,
    expires_at    timestamptz not null,
    state         text not null default 'waiting' check (state in ('waiting', 'claimed', 'crossing')),
    held          text,                           -- reason of the last hold, to append a decision only when it changes
    held_until    timestamptz,
    tries         smallint not null default 0,
    dated_at      timestamptz,                    -- the Date of the message: that of its first attempt, in every attempt
    daemon_id     uuid,
    epoch         bigint,
    crossing_at   timestamptz
) with (fillfactor = 40);
create index queue_due on queue (class, due_at, contact_id);
create index queue_contact on queue (contact_id);
create index queue_account on queue (account_id);
create index queue_address on queue (address_hash);

-- Caps: lock and counter in one. `ring` holds the newest instants first.
create table pace (
    kind text not null,
    key  text not null,
    ring timestamptz[] not null default '{}',
    primary key (kind, key)
) with (fillfactor = 45);

create table message (
    id                  uuid not null,
    shard               smallint not null,
    contact_id          uuid not null,
    account_id          uuid not null,
    lead_id             uuid,
    touch_id            uuid,                     -- null for a message sent by hand
    channel             text not null,
    class               smallint not null,
    cadence             text,
    step_key            text,
    template            text not null,
    template_version_id uuid,
    locale              text not null,
    sender              text not null,
    address             text not null,
    subject             text,
    segments            smallint,
    encoding            text,
    vars                json,                     -- kept as it was written, never searched
    hash                text,
    outcome             text not null check (outcome in ('accepted', 'refused', 'deferred', 'uncertain', 'withdrawn')),
    reply               text,
    tries               smallint not null default 1,
    retried             boolean not null default false, -- it was unknown and was put back for its one more try
    crossing_at         timestamptz,
    done_at             timestamptz not null,
    primary key (id)
) partition by range (id);
create table message_rest partition of message default;
create index message_contact on message (contact_id);
create index message_done on message (done_at);
create index message_uncertain on message (class, done_at) where outcome = 'uncertain';

-- What was handed over and has no certain end yet: every further attempt is made of it.
create table message_body (
    message_id uuid primary key,
    bytes      bytea not null,                    -- unsigned
    letter     jsonb not null,                    -- history row and envelope that belong to them
    keep_until timestamptz not null
);

create table decision (
    id         uuid not null,
    touch_id   uuid not null,
    contact_id uuid not null,
    at         timestamptz not null,
    verdict    text not null check (verdict in ('clear', 'hold', 'skip')),
    reason     text not null,
    until      timestamptz,
    detail     text,
    primary key (contact_id, id)                  -- asked for by person only; one index is enough
) partition by range (id);
create table decision_rest partition of decision default;

create table event (
    id          uuid not null,
    occurred_at timestamptz not null,
    received_at timestamptz not null,
    type        text not null,
    contact_id  uuid,
    account_id  uuid,
    lead_id     uuid,
    message_id  uuid,
    touch_id    uuid,
    human       boolean not null,
    source      text not null,
    data        jsonb not null default '{}',
    primary key (id)
) partition by range (id);
create table event_rest partition of event default;
create index event_contact on event (contact_id, occurred_at);
create index event_message on event (message_id) where message_id is not null;
create index event_lead on event (lead_id) where lead_id is not null;

-- Idempotency ledger of what came in.
create table event_key (
    source   text not null,
    key_hash bytea not null,
    event_id uuid not null,
    at       timestamptz not null,
    primary key (source, key_hash)
);
create index event_key_at on event_key (at);

-- Came in, but names a message or contact that is not known (yet).
create table event_parked (
    id          uuid primary key,
    received_at timestamptz not null,
    source      text not null,
    message_id  uuid,
    payload     jsonb not null,
    reason      text not null
);
create index event_parked_message on event_parked (message_id);

-- What an audience has to look at again.
create table fact_change (
    seq        bigint generated always as identity primary key,
    xid        xid8 not null default pg_current_xact_id(),
    contact_id uuid not null
);

create table link (
    id                  bigint generated always as identity primary key,
    template_version_id uuid not null,
    target              text not null,
    tag                 text,
    unique nulls not distinct (template_version_id, target, tag)
);

create table holiday (
    calendar text not null,
    date     date not null,
    kind     text not null check (kind in ('holiday', 'makeup_workday')),
    name     text not null,
    primary key (calendar, date)
);

create table task (
    id            uuid primary key,
    shard         smallint not null,
    kind          text not null,                  -- 'touch', 'ask', 'service', 'alert'
    title         text not null,
    body          text not null,
    contact_id    uuid,
    account_id    uuid,
    lead_id       uuid,
    touch_id      uuid unique,
    owner_id      uuid,
    created_at    timestamptz not null,
    due_at        timestamptz not null,
    state         text not null default 'open' check (state in ('open', 'snoozed', 'done', 'cancelled')),
    snoozed_until timestamptz,
    outcome       text,
    done_at       timestamptz,
    done_by       text,
    dedup_key     text unique                     -- one open question of a kind per lead
);
create index task_owner on task (owner_id, due_at) where state in ('open', 'snoozed');
create index task_lead on task (lead_id);
create index task_contact on task (contact_id);

-- Senders that a receiving side blocked by policy: nothing goes out by them until then. Kept afterwards, so that the next
-- pause is longer.
create table sender_state (
    sender       text primary key,
    paused_until timestamptz not null,
    reason       text not null,
    at           timestamptz not null,
    times        smallint not null
);

create table grievance (
    id         uuid primary key,
    account_id uuid not null,
    contact_id uuid,
    event_id   uuid,
    opened_at  timestamptz not null,
    closed_at  timestamptz,
    closed_by  text,
    text       text
);
create index grievance_open on grievance (account_id) where closed_at is null;

create table audit (
    id     uuid primary key,
    at     timestamptz not null,
    actor  text not null,
    verb   text not null,
    object text not null,
    before jsonb,
    after  jsonb
);
create index audit_object on audit (object);

create table app_user (
    id            uuid primary key,
    name          text not null unique,
    role          text not null check (role in ('operator', 'marketer', 'lead', 'rep')),
    password_hash text not null,
    owner_id      uuid references owner (id),
    created_at    timestamptz not null
);
create table web_session (
    token_hash bytea primary key,
    user_id    uuid references app_user (id),     -- null for the demo's one-time login
    role       text not null,
    expires_at timestamptz not null
);
create table login_link (
    token_hash bytea primary key,
    role       text not null,
    expires_at timestamptz not null
);
create table api_token (
    id         uuid primary key,
    name       text not null unique,
    token_hash bytea not null unique,
    created_at timestamptz not null,
    revoked_at timestamptz
);

-- What the sandbox took in: every message as the recipient would see it.
create table sandbox_message (
    id         bigint generated always as identity primary key,
    at         timestamptz not null,              -- business time
    channel    text not null,
    sender     text not null,
    recipient  text not null,
    message_id uuid,
    subject    text,
    raw        bytea not null
);
create index sandbox_message_recipient on sandbox_message (recipient);

-- How far a recurring service has come (business time), so that nothing is skipped or done again after a restart.
create table mark (
    name     text primary key,
    at       timestamptz not null,
    taken_by uuid                                 -- the daemon that does what comes after it, until it has moved it
);
