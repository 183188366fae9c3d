-- Sets each staged row beside the record it names. $1: the source.
insert into import_merge
select s.line,
       case when v.field is not null then 'refused'
            when c.id is null then 'new'
            when (v.account_id, v.name, v.email, v.email_hash, v.phone, v.phone_hash, v.locale, v.timezone, v.region,
                  v.birthday, v.birthday_calendar, v.role, v.decision_maker, v.owner_id, v.preferred_channel,
                  v.best_time, v.referred_by, v.attrs, v.consent_email, v.consent_sms, v.consent_source)
                 is distinct from
                 (c.account_id, c.name, c.email, c.email_hash, c.phone, c.phone_hash, c.locale, c.timezone, c.region,
                  c.birthday, c.birthday_calendar, c.role, c.decision_maker, c.owner_id, c.preferred_channel,
                  c.best_time, c.referred_by, c.attrs, c.consent_email, c.consent_sms, c.consent_source)
            then 'changed'
            else 'same' end,
       v.field,
       case v.field when 'organisation' then 'no organisation of this source has this external id; import organisations first'
                    when 'owner' then 'no owner of this source has this external id; import owners first'
                    when 'name' then 'a new contact needs a name' end,
       s.external_id, v.id, v.account_id, c.account_id, v.shard, v.name, v.email, v.email_hash, v.phone,
       v.phone_hash, v.locale, v.timezone, v.region, v.birthday, v.birthday_calendar, v.next_birthday_on,
       v.next_birthday_key, v.role, v.decision_maker, v.owner_id, v.preferred_channel, v.best_time, v.referred_by,
       v.attrs, v.consent_email, v.consent_sms, v.consent_source, s.consent_email_id, s.consent_sms_id,
       v.consent_email is not null and v.consent_email is distinct from c.consent_email,
       v.consent_sms is not null and v.consent_sms is distinct from c.consent_sms,
       s.consent_text, s.said_at
from import_contact s
cross join import_present p
left join contact_ref r on r.source_id = $1 and r.external_id = s.external_id
left join contact c on c.id = coalesce(s.known_id, r.contact_id)
left join account o on o.source_id = $1 and o.external_id = s.organisation
left join owner w on w.source_id = $1 and w.external_id = s.owner
cross join lateral (
    select case when s.organisation is not null and o.id is null then 'organisation'
                when s.owner is not null and w.id is null then 'owner'
                when c.id is null and s.name is null then 'name' end as field,
           coalesce(c.id, s.fresh_id) as id,
           -- Without an organisation a person is an account alone, and that account has the person's id.
           case when s.organisation is not null then o.id
                when p.organisation or c.id is null then coalesce(c.id, s.fresh_id)
                else c.account_id end as account_id,
           case when s.organisation is not null then o.shard
                when c.id is null then s.fresh_shard
                else c.shard end as shard,
           case when p.name then s.name else c.name end as name,
           case when p.email then s.email else c.email end as email,
           case when p.email then s.email_hash else c.email_hash end as email_hash,
           case when p.phone then s.phone else c.phone end as phone,
           case when p.phone then s.phone_hash else c.phone_hash end as phone_hash,
           case when p.locale then s.locale else c.locale end as locale,
           case when p.timezone then s.timezone else c.timezone end as timezone,
           case when p.region then s.region else c.region end as region,
           case when p.birthday then s.birthday else c.birthday end as birthday,
           case when p.birthday then s.birthday_calendar else c.birthday_calendar end as birthday_calendar,
           case when b.moved then s.next_birthday_on else c.next_birthday_on end as next_birthday_on,
           case when b.moved then s.next_birthday_key else c.next_birthday_key end as next_birthday_key,
           case when p.role then s.role else c.role end as role,
           case when p.decision_maker then s.decision_maker else c.decision_maker end as decision_maker,
           case when p.owner then w.id else c.owner_id end as owner_id,
           case when p.preferred_channel then s.preferred_channel else c.preferred_channel end as preferred_channel,
           case when p.best_time then s.best_time else c.best_time end as best_time,
           case when p.referred_by then s.referred_by else c.referred_by end as referred_by,
           case when s.attrs = '{}' then coalesce(c.attrs, s.attrs)
                else jsonb_strip_nulls(coalesce(c.attrs, '{}') || s.attrs) end as attrs,
           -- A "no" that did not come by an import is the person's own: an import does not turn it into a "yes".
           case when s.consent_email is null then c.consent_email
                when s.consent_email and c.consent_email is false and exists (
                    select from consent k where k.contact_id = c.id and k.channel = 'email'
                    and not k.granted and k.basis <> 'import') then false
                else s.consent_email end as consent_email,
           case when s.consent_sms is null then c.consent_sms
                when s.consent_sms and c.consent_sms is false and exists (
                    select from consent k where k.contact_id = c.id and k.channel = 'sms'
                    and not k.granted and k.basis <> 'import') then false
                else s.consent_sms end as consent_sms,
           case when p.consent_source then s.consent_source else c.consent_source end as consent_source
    from (select p.birthday and (s.birthday, s.birthday_calendar)
                 is distinct from (c.birthday, c.birthday_calendar) as moved) b
) v
