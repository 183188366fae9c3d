-- All that happened with one person, as rows of (at, fact), in the order of the telling.
-- $1 the person, $2 his customer, $3 his leads. Of things at one instant, causes (low rank) come before effects.
with told as (
    select e.entered_at as at, 30 as rank, e.id, jsonb_build_object(
               'kind', 'entered', 'cadence', e.cadence, 'why', e.entry_reason, 'key', e.entry_key,
               'control', e.state = 'control', 'lead', l.external_id) as fact
    from enrollment e left join lead l on l.id = e.lead_id
    where e.contact_id = $1
    union all
    select e.ended_at, 25, e.id, jsonb_build_object(
               'kind', 'left', 'cadence', e.cadence, 'state', e.state, 'reason', e.reason)
    from enrollment e
    where e.contact_id = $1 and e.ended_at is not null
    union all
    select d.at, 40, d.id, jsonb_build_object(
               'kind', 'decided', 'cadence', e.cadence, 'step', t.step_key, 'channel', t.channel, 'verdict', d.verdict,
               'reason', d.reason, 'until', d.until)
    from decision d
    left join touch t on t.id = d.touch_id
    left join enrollment e on e.id = t.enrollment_id
    where d.contact_id = $1 and d.verdict <> 'clear'
    union all
    select t.done_at, 52, t.id, jsonb_build_object(
               'kind', 'dropped', 'cadence', e.cadence, 'step', t.step_key, 'channel', t.channel, 'state', t.state,
               'reason', t.reason)
    from touch t join enrollment e on e.id = t.enrollment_id
    where t.contact_id = $1 and t.done_at is not null and t.state in ('cancelled', 'failed')
      and not exists (select 1 from message m where m.touch_id = t.id and m.id = t.message_id)
    union all
    select m.done_at, 50, m.id, jsonb_build_object(
               'kind', 'message', 'channel', m.channel, 'cadence', m.cadence, 'step', m.step_key, 'template', m.template,
               'sender', m.sender, 'address', m.address, 'subject', m.subject, 'segments', m.segments,
               'outcome', m.outcome, 'reply', m.reply, 'tries', m.tries)
    from message m
    where m.contact_id = $1
      and not (m.outcome = 'accepted' and exists (select 1 from task k where k.touch_id = m.touch_id))
    union all
    select v.occurred_at, 10, v.id, jsonb_build_object(
               'kind', 'event', 'type', v.type, 'human', v.human, 'source', v.source, 'data', v.data,
               'cadence', m.cadence, 'step', m.step_key, 'late', v.received_at - v.occurred_at > interval '1 hour')
    from event v left join message m on m.id = v.message_id
    where v.contact_id = $1 and v.type <> 'purchase'
    union all
    select g.at, 20, g.id, jsonb_build_object(
               'kind', 'graded', 'lead', l.external_id, 'before', g.before, 'after', g.after, 'reason', g.reason,
               'corrected', g.corrected, 'factors', g.factors,
               'events', coalesce((
                   select jsonb_agg(jsonb_build_object(
                              'type', v.type, 'at', v.occurred_at, 'who', c.name, 'own', v.contact_id = $1, 'data', v.data)
                              order by v.occurred_at, v.id)
                   from event v left join contact c on c.id = v.contact_id
                   where v.id = any (g.events)), '[]'::jsonb))
    from grade_change g join lead l on l.id = g.lead_id
    where g.lead_id = any ($3)
    union all
    select s.at, 15, s.id, jsonb_build_object('kind', 'stood', 'before', s.before, 'after', s.after)
    from standing_change s
    where s.account_id = $2
    union all
    select a.lost_at, 14, a.id, jsonb_build_object('kind', 'lost', 'tier', a.tier_at_loss)
    from account a
    where a.id = $2 and a.lost_at is not null
    union all
    select a.won_back_at, 14, a.id, jsonb_build_object('kind', 'won_back', 'tier', a.tier_at_loss)
    from account a
    where a.id = $2 and a.won_back_at is not null
    union all
    select p.at, 5, p.id, jsonb_build_object(
               'kind', 'purchase', 'amount', p.amount, 'currency', p.currency, 'product', p.product,
               'own', p.contact_id is not distinct from $1)
    from purchase p
    where p.account_id = $2
    union all
    select t.created_at, 55, t.id, jsonb_build_object(
               'kind', 'task', 'title', t.title, 'about', t.kind, 'owner', o.name, 'due', t.due_at)
    from task t left join owner o on o.id = t.owner_id
    where t.contact_id = $1 or (t.contact_id is null and t.lead_id = any ($3))
    union all
    select t.done_at, 56, t.id, jsonb_build_object(
               'kind', 'task_done', 'title', t.title, 'outcome', t.outcome, 'by', t.done_by)
    from task t
    where (t.contact_id = $1 or (t.contact_id is null and t.lead_id = any ($3))) and t.done_at is not null
    union all
    select g.opened_at, 12, g.id, jsonb_build_object(
               'kind', 'grievance', 'text', g.text, 'own', g.contact_id is not distinct from $1)
    from grievance g
    where g.account_id = $2
    union all
    select g.closed_at, 57, g.id, jsonb_build_object('kind', 'grievance_closed', 'by', g.closed_by)
    from grievance g
    where g.account_id = $2 and g.closed_at is not null
    union all
    select k.at, 8, k.id, jsonb_build_object(
               'kind', 'consent', 'channel', k.channel, 'granted', k.granted, 'basis', k.basis, 'source', k.source)
    from consent k
    where k.contact_id = $1
)
select t.at as "at!", t.fact as "fact!" from told t order by t.at, t.rank, t.id
