-- Tables that more than doubled, or changed as much, since the planner's statistics were taken.
select c.relname
from pg_class as c join pg_stat_user_tables as s on s.relid = c.oid
where c.relnamespace = 'public'::regnamespace and c.relname = any(%(tables)s)
    and s.n_mod_since_analyze > greatest(c.reltuples, 1000)
order by c.relname
