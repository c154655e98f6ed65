-- Who this user is, and what they may not do with our tables, such as {"insert on chunks"}.
select current_user, coalesce(
    array_agg(p.privilege || ' on ' || t.name order by t.name, p.privilege)
        filter (where not has_table_privilege('public.' || t.name, p.privilege)),
    '{}'
)
from unnest(%(tables)s::text[]) as t (name),
    unnest(array['select', 'insert', 'update', 'delete']) as p (privilege)
