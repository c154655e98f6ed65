-- Every index of our tables: its method, whether it can be used, its first column's operator class.
select i.relname, a.amname, x.indisvalid and x.indisready, coalesce(o.opcname, '')
from pg_index as x
join pg_class as i on i.oid = x.indexrelid
join pg_am as a on a.oid = i.relam
join pg_class as t on t.oid = x.indrelid
left join pg_opclass as o on o.oid = x.indclass[0]
where t.relnamespace = 'public'::regnamespace and t.relname = any(%(tables)s)
order by i.relname
