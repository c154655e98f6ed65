-- Connections in use, those of them that idle within a transaction (of others' only a privileged user
-- is told), and how many there may be for a user without privileges.
select (select sum(numbackends)::integer from pg_stat_database),
    (select count(*) from pg_stat_activity where state ~ '^idle in transaction'),
    current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer
