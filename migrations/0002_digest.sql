-- The digest: one mail a day to an owner with his open tasks. A row is the day's mail, not a touch and not a message:
-- it goes to the company's own people and counts nowhere. It is written at the crossing, so that two daemons or a crash
-- cannot send a second one.
create table digest (
    owner_id    uuid not null references owner (id) on delete cascade,
    day         date not null,                    -- the owner's own
    state       text not null check (state in ('crossing', 'deferred', 'accepted', 'refused', 'uncertain')),
    message_id  uuid not null,
    address     text not null,                    -- the owner's, or his deputy's
    tasks       integer not null,                 -- how many it lists
    daemon_id   uuid,                             -- whose crossing it is
    epoch       bigint,
    crossing_at timestamptz,
    again_at    timestamptz,                      -- of one put off: when it is tried again, the same day
    reply       text,
    done_at     timestamptz,
    primary key (owner_id, day)
);
create index digest_live on digest (again_at) where state in ('crossing', 'deferred');
