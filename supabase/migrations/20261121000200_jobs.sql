-- Updates by themselves: where documents come from, and the queue of what is to be done.
--
-- A document may be written with its text, by the Data API or from a table of one's own: then
-- triggers take its old chunks away in the same transaction, so that nothing stale is ever found,
-- and ask a worker for new ones.

alter table public.documents
-- Set by whoever writes a document here. Null where an ingest wrote the chunks: there the chunks
-- are the text.
add column content text check (length(content) <= 20000000),
alter column content_hash set default '';
comment on column public.documents.content_hash is 'Empty: its chunks are still to be made.';

create table public.sources (
    source_id uuid primary key default gen_random_uuid(),
    collection_id uuid not null references public.collections on delete cascade,
    kind text not null check (kind in ('files', 'web', 'table', 'bucket')),
    -- files: {"paths": [...]}; web: {"sitemap": url} or {"urls": [...]};
    -- table: {"table", "id", "title", "content", "metadata": [...]}; bucket: {"bucket", "prefix"}
    settings jsonb not null check (jsonb_typeof(settings) = 'object'),
    refresh_every interval check (refresh_every >= interval '1 minute'),
    -- when it is next refreshed by itself; null: never
    refresh_at timestamptz,
    refreshed_at timestamptz,
    -- of the last refresh: counts of documents, and the failures with their reasons
    last_result jsonb,
    created_at timestamptz not null default now(),
    unique (collection_id, kind, settings)
);

-- A job is one row however often it is asked for; `version` counts the askings, so that a worker
-- notices what was asked anew while it worked. What is done is deleted.
create table public.jobs (
    job_id bigint generated always as identity primary key,
    collection_id uuid not null references public.collections on delete cascade,
    -- a document to be indexed, or a source to be refreshed
    document_id uuid unique references public.documents on delete cascade,
    source_id uuid unique references public.sources on delete cascade,
    version bigint not null default 1,
    -- many at once: single edits go before them
    bulk boolean not null default false,
    due_at timestamptz not null default now(),
    attempts integer not null default 0,
    -- the worker that has it, and until when; a worker that lives extends that
    worker_id uuid,
    leased_until timestamptz,
    progress jsonb not null default '{}',
    -- why the last attempt failed
    reason text,
    -- given up, until somebody asks again
    dead_at timestamptz,
    created_at timestamptz not null default now(),
    check (num_nonnulls(document_id, source_id) = 1)
);
create index jobs_waiting on public.jobs (bulk, due_at, job_id) where dead_at is null;
create index jobs_collection_id on public.jobs (collection_id);

alter table public.sources enable row level security;
alter table public.jobs enable row level security;

-- Editors see what keeps their collections up to date. A web page anybody may read; files, tables
-- and buckets are read with the rights of the service: only its operator names those.
create policy editors on public.sources for select to authenticated
using (collection_id = any((select public.my_collections('editor'))::uuid[]));
create policy editors_add on public.sources for insert to authenticated
with check (
    kind = 'web' and collection_id = any((select public.my_collections('editor'))::uuid[])
);
create policy editors_remove on public.sources for delete to authenticated
using (kind = 'web' and collection_id = any((select public.my_collections('editor'))::uuid[]));
create policy editors on public.jobs for select to authenticated
using (collection_id = any((select public.my_collections('editor'))::uuid[]));

revoke all on public.sources, public.jobs from anon, authenticated;
grant select, delete on public.sources to authenticated;
grant insert (collection_id, kind, settings, refresh_every) on public.sources to authenticated;
grant select on public.jobs to authenticated;
grant all on public.sources, public.jobs to service_role;

-- Wakes the workers that wait; within a transaction only once.
create function public.wake_workers() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    perform pg_catalog.pg_notify('promptly_jobs', '');
    return null;
end
$$;
create trigger jobs_asked after insert or update of version on public.jobs
for each statement execute function public.wake_workers();

-- Documents that carry their text

-- Another title is another text to embed, since chunks carry their title. Who writes chunks along
-- with a document writes its hash too.
create function public.note_text_edit() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    if new.content is null then
        new.content := coalesce((
            select pg_catalog.string_agg(c.content, '' order by c.ordinal)
            from public.chunks as c where c.document_id = old.document_id
        ), '');
    end if;
    if old.collection_id <> new.collection_id then
        delete from public.chunks where document_id = old.document_id;
    end if;
    new.content_hash := '';
    new.chunk_count := 0;
    new.updated_at := pg_catalog.now();
    return new;
end
$$;
create trigger documents_text_changed before update on public.documents
for each row
when (
    new.content_hash = old.content_hash and (
        (old.title, old.collection_id) is distinct from (new.title, new.collection_id)
        or new.content is not null and old.content is distinct from new.content
    )
)
execute function public.note_text_edit();

-- It asks for the chunks of documents; of more than a few at once as a bulk.
create function public.ask_for_chunks(document_ids uuid[]) returns void
language sql security definer
set search_path = ''
as $$
    insert into public.jobs as j (collection_id, document_id, bulk)
    select d.collection_id, d.document_id, pg_catalog.cardinality(document_ids) > 20
    from public.documents as d where d.document_id = any(document_ids)
    on conflict (document_id) do update
    -- Whoever has it works on a text that is no more.
    set version = j.version + 1, worker_id = null, leased_until = null,
        collection_id = excluded.collection_id, bulk = excluded.bulk,
        due_at = excluded.due_at, attempts = 0, reason = null, dead_at = null
$$;

create function public.index_added_documents() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
    fresh uuid[] := array(
        select a.document_id from added as a where a.content is not null and a.content_hash = ''
    );
begin
    if fresh <> '{}' then
        perform public.ask_for_chunks(fresh);
    end if;
    return null;
end
$$;

create function public.index_changed_documents() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
    fresh uuid[] := array(
        select a.document_id from added as a join removed as r using (document_id)
        where a.content is not null and a.content_hash = ''
            and (a.content, a.title, a.metadata, a.collection_id)
            is distinct from (r.content, r.title, r.metadata, r.collection_id)
    );
begin
    if fresh <> '{}' then
        delete from public.chunks where document_id = any(fresh);
        perform public.ask_for_chunks(fresh);
    end if;
    update public.chunks as c set metadata = a.metadata
    from added as a join removed as r using (document_id)
    where c.document_id = a.document_id and a.metadata is distinct from r.metadata
        and a.content_hash = r.content_hash and a.content_hash <> '';
    return null;
end
$$;
create trigger documents_added after insert on public.documents
referencing new table as added
for each statement execute function public.index_added_documents();
create trigger documents_changed after update on public.documents
referencing old table as removed new table as added
for each statement execute function public.index_changed_documents();

-- Sources

create function public.source_origin(source_id uuid) returns text
language sql immutable
as $$ select 'source:' || source_id $$;

-- It asks for a refresh now.
create function public.ask_for_refresh(source_ids uuid[]) returns void
language sql security definer
set search_path = ''
as $$
    insert into public.jobs as j (collection_id, source_id)
    select s.collection_id, s.source_id
    from public.sources as s where s.source_id = any(source_ids)
    on conflict (source_id) do update
    set version = j.version + 1, due_at = excluded.due_at, attempts = 0, reason = null,
        dead_at = null
$$;

-- The same, for sources whose time has come; returns how many.
create function public.ask_for_due_refreshes() returns integer
language plpgsql security definer
set search_path = ''
as $$
declare
    due uuid[];
begin
    with mine as (
        select s.source_id from public.sources as s
        where s.refresh_at <= pg_catalog.now() for update skip locked
    ), moved as (
        update public.sources as s set refresh_at = pg_catalog.now() + s.refresh_every
        from mine where s.source_id = mine.source_id
        returning s.source_id
    )
    select pg_catalog.array_agg(m.source_id) into due from moved as m;
    if due is not null then
        perform public.ask_for_refresh(due);
    end if;
    return coalesce(pg_catalog.cardinality(due), 0);
end
$$;

-- The statement that puts rows of a source's table, read from `rows_from`, in place of the documents
-- made of them.
create function public.rows_to_documents(source public.sources, rows_from text) returns text
language sql stable
set search_path = ''
as $$
    select pg_catalog.format(
        'insert into public.documents as d '
        '(collection_id, source, title, content, metadata, origin) '
        'select %L, n.%I::text, %s, coalesce(n.%I::text, ''''), %s, %L '
        'from %s as n where n.%I is not null order by 2 '
        'on conflict (collection_id, source) do update '
        'set title = excluded.title, content = excluded.content, '
        'metadata = excluded.metadata, origin = excluded.origin '
        'where (d.title, d.content, d.metadata, d.origin) is distinct from '
        '(excluded.title, excluded.content, excluded.metadata, excluded.origin)',
        source.collection_id,
        source.settings ->> 'id',
        case when source.settings ? 'title'
            then pg_catalog.format('coalesce(n.%I::text, '''')', source.settings ->> 'title')
            else '''''' end,
        source.settings ->> 'content',
        pg_catalog.format(
            '(select coalesce(jsonb_object_agg(e.key, e.value), ''{}'') '
            'from jsonb_each(to_jsonb(n)) as e '
            'where e.key in (select jsonb_array_elements_text(%L::jsonb)))',
            coalesce(source.settings -> 'metadata', '[]')
        ),
        public.source_origin(source.source_id),
        rows_from,
        source.settings ->> 'id'
    )
$$;

create function public.follow_rows() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
    source public.sources;
    gone text;
begin
    select * into source from public.sources as s where s.source_id = tg_argv[0]::uuid;
    if source is null then
        return null;
    end if;
    if tg_op = 'TRUNCATE' then
        delete from public.documents as d
        where d.collection_id = source.collection_id
            and d.origin = public.source_origin(source.source_id);
        return null;
    end if;
    if tg_op in ('DELETE', 'UPDATE') then
        gone := pg_catalog.format('select r.%I::text from removed as r', source.settings ->> 'id');
        if tg_op = 'UPDATE' then
            gone := pg_catalog.format(
                '%s except select a.%I::text from added as a', gone, source.settings ->> 'id'
            );
        end if;
        execute pg_catalog.format(
            'delete from public.documents where collection_id = %L and origin = %L '
            'and source in (%s)',
            source.collection_id, public.source_origin(source.source_id), gone
        );
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
        execute public.rows_to_documents(source, 'added');
    end if;
    return null;
end
$$;

-- A table that is a source carries triggers as long as it is one.
create function public.attach_source(source public.sources, followed regclass) returns void
language plpgsql security definer
set search_path = ''
as $$
declare
    event text;
begin
    if followed in ('public.documents'::regclass, 'public.chunks'::regclass) then
        raise exception using message = 'A table of Promptly''s own cannot be a source.';
    end if;
    if not exists (
        select from pg_catalog.pg_index as i join pg_catalog.pg_attribute as a
            on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = followed and i.indisunique and i.indnkeyatts = 1
            and i.indpred is null and a.attname = source.settings ->> 'id'
    ) then
        raise exception using message = pg_catalog.format(
            'The column %I of %s is not unique by an index: name its primary key as the id.',
            source.settings ->> 'id', followed
        );
    end if;
    foreach event in array array['insert', 'update', 'delete', 'truncate'] loop
        execute pg_catalog.format(
            'create or replace trigger %I after %s on %s %s '
            'for each statement execute function public.follow_rows(%L)',
            'promptly_' || source.source_id || '_' || event, event, followed,
            case event
                when 'insert' then 'referencing new table as added'
                when 'update' then 'referencing old table as removed new table as added'
                when 'delete' then 'referencing old table as removed'
                else ''
            end,
            source.source_id
        );
    end loop;
end
$$;

-- All rows of the table at once: what was missed is made good, what is gone is removed.
create function public.refresh_table(source_id uuid) returns void
language plpgsql security definer
set search_path = ''
as $$
declare
    source public.sources;
    followed regclass;
begin
    select * into strict source from public.sources as s where s.source_id = refresh_table.source_id;
    perform public.follow_table(source.source_id);
    followed := pg_catalog.to_regclass(source.settings ->> 'table');
    execute pg_catalog.format(
        'delete from public.documents where collection_id = %L and origin = %L '
        'and source not in (select n.%I::text from %s as n where n.%I is not null)',
        source.collection_id, public.source_origin(source.source_id),
        source.settings ->> 'id', followed, source.settings ->> 'id'
    );
    execute public.rows_to_documents(source, followed::text);
end
$$;

create function public.detach_source() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
    followed regclass := pg_catalog.to_regclass(old.settings ->> 'table');
    event text;
begin
    if followed is not null then
        foreach event in array array['insert', 'update', 'delete', 'truncate'] loop
            execute pg_catalog.format(
                'drop trigger if exists %I on %s',
                'promptly_' || old.source_id || '_' || event, followed
            );
        end loop;
    end if;
    return null;
end
$$;
create trigger sources_detached after delete on public.sources
for each row when (old.kind = 'table')
execute function public.detach_source();

-- What a source is does not change: another is another source.
create function public.refuse_source_edit() returns trigger
language plpgsql set search_path = ''
as $$
begin
    raise exception 'What a source reads cannot be changed: remove it, and add another.';
end
$$;
create trigger sources_are_fixed before update on public.sources
for each row
when (
    (old.source_id, old.collection_id, old.kind, old.settings)
    is distinct from (new.source_id, new.collection_id, new.kind, new.settings)
)
execute function public.refuse_source_edit();

-- A new source is refreshed at once.
create function public.refresh_new_source() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    perform public.ask_for_refresh(array[new.source_id]);
    return null;
end
$$;
create trigger sources_added after insert on public.sources
for each row execute function public.refresh_new_source();

create function public.schedule_source() returns trigger
language plpgsql set search_path = ''
as $$
begin
    new.refresh_at := pg_catalog.now() + new.refresh_every;
    return new;
end
$$;
create trigger sources_scheduled before insert or update of refresh_every on public.sources
for each row execute function public.schedule_source();

revoke execute on function public.ask_for_chunks(uuid[]), public.ask_for_refresh(uuid[]),
public.ask_for_due_refreshes(), public.refresh_table(uuid),
public.rows_to_documents(public.sources, text), public.attach_source(public.sources, regclass)
from public, anon, authenticated;
grant execute on function public.ask_for_chunks(uuid[]), public.ask_for_refresh(uuid[]),
public.ask_for_due_refreshes(), public.refresh_table(uuid) to service_role;
