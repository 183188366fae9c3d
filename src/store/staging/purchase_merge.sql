-- Sets each staged row beside the purchase it names. $1: the source.
insert into import_merge
select s.line,
       case when v.field is not null then 'refused'
            when b.id is null then 'new'
            when (v.account_id, s.at, v.contact_id, s.amount, s.currency, v.quantity, v.profit, v.product)
                 is distinct from
                 (b.account_id, b.at, b.contact_id, b.amount, b.currency, b.quantity, b.profit, b.product)
            then 'changed'
            else 'same' end,
       v.field,
       case when v.field = 'organisation'
            then 'no organisation of this source has this external id; import organisations first'
            when s.contact is not null
            then 'no contact of this source has this external id; import contacts first'
            else 'a purchase needs a contact or an organisation' end,
       s.external_id, coalesce(b.id, s.fresh_id), v.account_id, b.account_id, b.at, v.contact_id, s.at, s.amount,
       s.currency, v.quantity, v.profit, v.product
from import_purchase s
cross join import_present p
left join purchase b on b.source_id = $1 and b.external_id = s.external_id
left join contact_ref r on r.source_id = $1 and r.external_id = s.contact
left join contact c on c.id = r.contact_id
left join account o on o.source_id = $1 and o.external_id = s.organisation
cross join lateral (
    select case when s.organisation is not null and o.id is null then 'organisation'
                when s.contact is not null and c.id is null then 'contact'
                when a.account_id is null then 'contact' end as field,
           a.account_id,
           case when p.contact then c.id else b.contact_id end as contact_id,
           case when p.quantity then s.quantity else b.quantity end as quantity,
           case when p.profit then s.profit else b.profit end as profit,
           case when p.product then s.product else b.product end as product
    from (select coalesce(o.id, c.account_id, b.account_id) as account_id) a
) v
