-- Sets each staged row beside the lead it names. $1: the source, $2: now.
-- What kith itself moves (closing, waiting, stage) is written only when the file says something else than the last
-- time: `imported` keeps what it said.
insert into import_merge
select s.line,
       case when v.field is not null then 'refused'
            when l.id is null then 'new'
            when (v.account_id, v.owner_id, v.campaign_id, v.source_channel, v.situation, v.product, v.value,
                  v.opened_at, b.after)
                 is distinct from
                 (l.account_id, l.owner_id, l.campaign_id, l.source_channel, l.situation, l.product, l.value,
                  l.opened_at, b.before)
            then 'changed'
            else 'same' end,
       v.field,
       case when v.field = 'contact' and s.contact is null then 'a lead needs a contact or an organisation'
            when v.field is not null
            then format('no %s of this source has this external id; import %ss first', v.field, v.field) end,
       s.external_id, coalesce(l.id, s.fresh_id), v.account_id, l.account_id, c.id, v.owner_id, v.campaign_id,
       v.source_channel, v.situation, v.product,
       case when m.stage then s.stage else l.stage end,
       case when m.lost_reason then s.lost_reason else l.lost_reason end,
       case when m.not_fit then s.not_fit else l.not_fit end,
       v.value,
       case when m.outcome then s.outcome else l.outcome end,
       case when m.likelihood then s.likelihood else l.likelihood end,
       case when m.waiting_for then s.waiting_for else l.waiting_for end,
       case when m.expected_on then s.expected_on else l.expected_on end,
       case when m.expected_close then s.expected_close else l.expected_close end,
       v.opened_at,
       case when m.outcome and s.outcome is not null then coalesce(s.closed_at, $2)
            when m.outcome then null
            when m.closed_at then s.closed_at
            else l.closed_at end,
       s.grade_at, b.after, b.before
from import_lead s
cross join import_present p
left join lead l on l.source_id = $1 and l.external_id = s.external_id
left join contact_ref r on r.source_id = $1 and r.external_id = s.contact
left join contact c on c.id = coalesce(s.known_contact, r.contact_id)
left join account o on o.source_id = $1 and o.external_id = s.organisation
left join owner w on w.source_id = $1 and w.external_id = s.owner
left join campaign g on g.source_id = $1 and g.external_id = s.campaign
cross join lateral (
    select coalesce(l.imported, '{}') as before,
           jsonb_strip_nulls(coalesce(l.imported, '{}') || s.imported) as after
) b
cross join lateral (
    select b.before -> 'stage' is distinct from b.after -> 'stage' as stage,
           b.before -> 'lost_reason' is distinct from b.after -> 'lost_reason' as lost_reason,
           b.before -> 'not_fit' is distinct from b.after -> 'not_fit' as not_fit,
           b.before -> 'outcome' is distinct from b.after -> 'outcome' as outcome,
           b.before -> 'closed_at' is distinct from b.after -> 'closed_at' as closed_at,
           b.before -> 'likelihood' is distinct from b.after -> 'likelihood' as likelihood,
           b.before -> 'waiting_for' is distinct from b.after -> 'waiting_for' as waiting_for,
           b.before -> 'expected_on' is distinct from b.after -> 'expected_on' as expected_on,
           b.before -> 'expected_close' is distinct from b.after -> 'expected_close' as expected_close
) m
cross join lateral (
    select case when s.contact is not null and c.id is null then 'contact'
                when s.organisation is not null and o.id is null then 'organisation'
                when s.owner is not null and w.id is null then 'owner'
                when s.campaign is not null and g.id is null then 'campaign'
                when coalesce(o.id, c.account_id, l.account_id) is null then 'contact' end as field,
           coalesce(o.id, c.account_id, l.account_id) as account_id,
           case when p.owner then w.id else l.owner_id end as owner_id,
           case when p.campaign then g.id else l.campaign_id end as campaign_id,
           case when p.source_channel then s.source_channel else l.source_channel end as source_channel,
           coalesce(case when p.situation then s.situation else l.situation end, 'greenfield') as situation,
           case when p.product then s.product else l.product end as product,
           case when p.value then s.value else l.value end as value,
           case when p.opened_at and s.opened_at is not null then s.opened_at
                else coalesce(l.opened_at, $2) end as opened_at
) v
