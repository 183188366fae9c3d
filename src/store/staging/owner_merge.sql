-- Sets each staged row beside the owner it names. $1: the source.
insert into import_merge
select s.line,
       case when v.name is null or v.away_until < v.away_from then 'refused'
            when o.id is null then 'new'
            when (v.name, v.email, v.phone, v.timezone, v.from_email, v.signature, v.deputy, v.away_from, v.away_until)
                 is distinct from
                 (o.name, o.email, o.phone, o.timezone, o.from_email, o.signature, o.deputy_external_id, o.away_from,
                  o.away_until)
            then 'changed'
            else 'same' end,
       case when v.name is null then 'name' else 'away_until' end,
       case when v.name is null then 'a new owner needs a name' else 'the leave ends before it begins' end,
       s.external_id, coalesce(o.id, s.fresh_id), v.name, v.email, v.phone, v.timezone, v.from_email, v.signature,
       v.deputy, v.away_from, v.away_until
from import_owner s
cross join import_present p
left join owner o on o.source_id = $1 and o.external_id = s.external_id
cross join lateral (
    select case when p.name then s.name else o.name end as name,
           case when p.email then s.email else o.email end as email,
           case when p.phone then s.phone else o.phone end as phone,
           case when p.timezone then s.timezone else o.timezone end as timezone,
           case when p.from_email then s.from_email else o.from_email end as from_email,
           case when p.signature then s.signature else o.signature end as signature,
           case when p.deputy then s.deputy else o.deputy_external_id end as deputy,
           case when p.away_from then s.away_from else o.away_from end as away_from,
           case when p.away_until then s.away_until else o.away_until end as away_until
) v
