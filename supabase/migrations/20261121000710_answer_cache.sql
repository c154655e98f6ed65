-- An answer may be kept and given again as long as whatever it was found in stays as it is. So each
-- collection has a version, another one after every change of what a search shows or goes by, made in
-- the transaction that makes the change. It is random and not a count: after a restore to an earlier
-- time a count would come again with other contents.
alter table public.collection_statistics add column version uuid not null default gen_random_uuid();

-- Chunks that come or go are counted here, so that this sees both.
create function public.renew_version() returns trigger
language plpgsql set search_path = ''
as $$
begin
    new.version := pg_catalog.gen_random_uuid();
    return new;
end
$$;
create trigger statistics_changed before update on public.collection_statistics
for each row execute function public.renew_version();

create function public.renew_versions(collection_ids uuid[]) returns void
language plpgsql security definer
set search_path = ''
as $$
begin
    if collection_ids <> '{}' then
        perform public.lock_statistics(collection_ids);
        update public.collection_statistics set version = default
        where collection_id = any(collection_ids);
    end if;
end
$$;

-- What is shown of a chunk and what it is found by, its place excepted: chunk_id, collection_id and text
-- never change. A row that only gets the vector of another embedder, for later, shows nothing new.
create function public.renew_edited_chunks() returns trigger
language plpgsql security definer
set search_path = public, extensions
as $$
begin
    perform renew_versions(array(
        select distinct a.collection_id from added as a join removed as r using (chunk_id)
        where (a.document_id, a.start_at, a.heading_path, a.metadata, a.embedding)
            is distinct from (r.document_id, r.start_at, r.heading_path, r.metadata, r.embedding)
    ));
    return null;
end
$$;
create trigger chunks_edited after update on public.chunks
referencing old table as removed new table as added
for each statement execute function public.renew_edited_chunks();

create function public.renew_edited_documents() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    perform public.renew_versions(array(
        select a.collection_id from added as a join removed as r using (document_id)
        where (a.source, a.title, a.metadata) is distinct from (r.source, r.title, r.metadata)
        union
        select c.collection_id from added as a join removed as r using (document_id),
            lateral (values (a.collection_id), (r.collection_id)) as c (collection_id)
        where a.collection_id <> r.collection_id
    ));
    return null;
end
$$;
create trigger documents_edited after update on public.documents
referencing old table as removed new table as added
for each statement execute function public.renew_edited_documents();

create function public.renew_all_versions() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    perform public.renew_versions(array(select s.collection_id from public.collection_statistics as s));
    return null;
end
$$;
create trigger chunks_emptied after truncate on public.chunks
for each statement execute function public.renew_all_versions();

-- What search_chunks reads for the caller, as one digest: which collections, and the version of each;
-- null where there is nothing to read. Of two equal ones, all that a search by one embedder sees is
-- equal, whoever asks. It runs as its caller: row-level security says which collections there are.
create function public.scope_version(collection text, embedder text) returns text
language plpgsql stable
set search_path = public
set plan_cache_mode = force_generic_plan
as $$
begin
    return (
        select encode(sha256(
            convert_to(scope_version.embedder, 'UTF8')
            || string_agg(uuid_send(s.collection_id) || uuid_send(s.version), ''::bytea
                order by s.collection_id)
        ), 'hex')
        from collection_statistics as s
        where s.chunk_count > 0 and (
            scope_version.collection is null
            or s.collection_id = any((select collections_named(scope_version.collection))::uuid[])
        )
    );
end
$$;

revoke execute on function public.renew_versions(uuid[]) from public, anon, authenticated;
grant execute on function public.scope_version(text, text) to anon, authenticated, service_role;
