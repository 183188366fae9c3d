-- $1: as asked, $2: in lower case, $3: beyond what begins so, $4: a phone's beginning, $5: beyond it, $6: how many.
with found as (
    (select c.id from contact c
     where lower(c.name) ~>=~ $2 and lower(c.name) ~<~ $3 and c.merged_into is null
     order by lower(c.name) using ~<~ limit $6)
    union
    (select c.id from contact c
     where c.name like '% %' and lower(split_part(c.name, ' ', -1)) ~>=~ $2 and lower(split_part(c.name, ' ', -1)) ~<~ $3
       and c.merged_into is null
     order by lower(split_part(c.name, ' ', -1)) using ~<~ limit $6)
    union
    (select c.id from contact c
     where c.email ~>=~ $2 and c.email ~<~ $3 and c.merged_into is null
     order by c.email using ~<~ limit $6)
    union
    (select c.id from contact c
     where c.phone ~>=~ $4 and c.phone ~<~ $5 and c.merged_into is null
     order by c.phone using ~<~ limit $6)
    union
    (select c.id
     from (select a.id from account a
           where a.kind = 'organisation' and lower(a.name) ~>=~ $2 and lower(a.name) ~<~ $3
           order by lower(a.name) using ~<~ limit $6) a
     join contact c on c.account_id = a.id
     where c.merged_into is null limit $6)
    union
    select c.id
    from source s
    join contact_ref r on r.source_id = s.id and r.external_id = $1
    join contact c on c.id = r.contact_id
    where c.merged_into is null
)
select c.id, c.name, c.email, c.phone, coalesce(a.name, c.name) as "account!",
       coalesce(a.standing, 'suspect') as "standing!",
       (select min(l.grade) from lead_contact lc join lead l on l.id = lc.lead_id
        where lc.contact_id = c.id and l.closed_at is null) as grade,
       o.name as "owner?"
from found f
join contact c on c.id = f.id
left join account a on a.id = c.account_id
left join owner o on o.id = c.owner_id
order by c.name, c.id
limit $6
