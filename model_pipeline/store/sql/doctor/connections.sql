-- Connections in use, and how many there may be for a user without privileges.
select count(*) filter (where backend_type = 'client backend'),
    count(*) filter (where state ~ '^idle in transaction'),
    current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer
from pg_stat_activity
