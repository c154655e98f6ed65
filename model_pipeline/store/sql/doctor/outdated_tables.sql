-- Tables of which more than half changed since the planner's statistics were taken; building an index
-- brings reltuples up to date, and nothing else.
select c.relname
from pg_class as c join pg_stat_user_tables as s on s.relid = c.oid
where c.relnamespace = 'public'::regnamespace and c.relname = any(%(tables)s)
    and s.n_mod_since_analyze > 1000 + greatest(c.reltuples, 0) / 2
order by c.relname
