-- Whether the column is there, the state of its index, whether somebody re-embeds, since when the
-- standby is what it is.
select
    exists (
        select from pg_attribute
        where attrelid = 'public.chunks'::regclass and attname = 'embedding_standby'
            and not attisdropped
    ),
    coalesce((
        select case when indisvalid then 'valid' else 'invalid' end from pg_index
        where indexrelid = to_regclass('public.' || %(index)s)
    ), 'missing'),
    exists (
        select from pg_locks
        where locktype = 'advisory' and granted and objsubid = 1
            and database = (select oid from pg_database where datname = current_database())
            and (classid::bigint << 32 | objid::bigint) = %(key)s
    ),
    (select registered_at from embedder where not active)
