-- Sources as people add, refresh and remove them, and jobs as they look at them.

-- Whether it may reach what the service reaches: this machine, the private network around it. So
-- may its operator's; what a user adds stays on the public web.
alter table public.sources add column trusted boolean not null default false;
alter table public.sources alter column trusted set default public.reads_everything();

-- Nothing is in a source whose settings nobody could read.
create function public.check_source() returns trigger
language plpgsql set search_path = ''
as $$
declare
    wrong text;
    known text[] := case new.kind
        when 'files' then '{paths,fields}'
        when 'web' then '{sitemap,urls}'
        when 'table' then '{table,id,title,content,metadata}'
        when 'bucket' then '{bucket,prefix,fields}'
    end;
begin
    wrong := case new.kind
        when 'files' then case
            when not public.are_texts(new.settings -> 'paths')
            then 'A source of files needs "paths", a list of files and folders.'
            when exists (
                select from jsonb_array_elements_text(new.settings -> 'paths') as p
                where not starts_with(p, '/')
            ) then 'The path of a source must be absolute: it begins with "/".'
            end
        when 'web' then case
            when (new.settings ? 'sitemap') = (new.settings ? 'urls')
            then 'A source of web pages needs either "sitemap", an address, or "urls", a list.'
            when not public.are_texts(
                coalesce(new.settings -> 'urls', jsonb_build_array(new.settings -> 'sitemap'))
            ) then 'The addresses of a source must be texts, at least one.'
            when exists (
                select from jsonb_array_elements_text(
                    coalesce(new.settings -> 'urls', jsonb_build_array(new.settings -> 'sitemap'))
                ) as u where u !~* '^https?://[^/\s]' or length(u) > 2000
            ) then 'An address of a source begins with "http://" or "https://", then its host.'
            end
        when 'table' then case
            when not public.are_texts(jsonb_build_array(
                new.settings -> 'table', new.settings -> 'id', new.settings -> 'content',
                coalesce(new.settings -> 'title', '"x"')
            )) or not public.are_texts(coalesce(new.settings -> 'metadata', '["x"]'))
            then 'A source of rows needs "table", "id" and "content", names as texts.'
            end
        when 'bucket' then case
            when not public.are_texts(jsonb_build_array(new.settings -> 'bucket'))
                or jsonb_typeof(coalesce(new.settings -> 'prefix', '""')) <> 'string'
            then 'A source of a bucket needs "bucket", its name.'
            end
    end;
    if new.settings - known <> '{}' then
        wrong := pg_catalog.format(
            'A source of the kind %s has no other settings than %s.', new.kind,
            pg_catalog.array_to_string(known, ', ')
        );
    end if;
    if wrong is not null then
        raise exception using message = wrong;
    end if;
    return new;
end
$$;

create function public.are_texts(given jsonb) returns boolean
language sql immutable
set search_path = ''
as $$
    select coalesce(
        jsonb_typeof(given) = 'array' and jsonb_array_length(given) > 0
        and not jsonb_path_exists(given, 'strict $[*] ? (@.type() != "string" || @ == "")'),
        false
    )
$$;
create trigger sources_checked before insert on public.sources
for each row execute function public.check_source();

-- Has a source's table followed, or says what stands against it.
create function public.follow_table(source_id uuid) returns void
language plpgsql security definer
set search_path = ''
as $$
declare
    source public.sources;
    followed regclass;
    missing text;
begin
    select * into strict source from public.sources as s where s.source_id = follow_table.source_id;
    followed := pg_catalog.to_regclass(source.settings ->> 'table');
    if followed is null then
        raise exception using message = pg_catalog.format(
            'There is no table %s: name it with its schema, as public.articles.',
            source.settings ->> 'table'
        );
    end if;
    if exists (
        select from pg_catalog.unnest(array[
            'collections', 'members', 'sources', 'jobs', 'embedder', 'chunk_lexemes',
            'collection_statistics', 'lexeme_statistics'
        ]) as own (name) where pg_catalog.to_regclass('public.' || own.name) = followed
    ) then
        raise exception using message = 'A table of Promptly''s own cannot be a source.';
    end if;
    select c.name into missing
    from pg_catalog.unnest(
        array[source.settings ->> 'id', source.settings ->> 'content', source.settings ->> 'title']
        || array(select jsonb_array_elements_text(source.settings -> 'metadata'))
    ) as c (name)
    where c.name is not null and not exists (
        select from pg_catalog.pg_attribute as a
        where a.attrelid = followed and a.attname = c.name and a.attnum > 0 and not a.attisdropped
    ) limit 1;
    if missing is not null then
        raise exception using message = pg_catalog.format(
            'The table %s has no column %I: name one that it has.', followed, missing
        );
    end if;
    -- What is followed already is not locked once more.
    if not exists (
        select from pg_catalog.pg_trigger as t where t.tgrelid = followed
            and t.tgname = 'promptly_' || source.source_id || '_truncate'
    ) then
        perform public.attach_source(source, followed);
    end if;
end
$$;

-- What a source brought goes with it: nobody would keep it up to date any more.
create function public.remove_source_documents() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    perform 1 from public.documents as d
    where d.collection_id = old.collection_id and d.origin = public.source_origin(old.source_id)
    order by d.document_id for no key update;
    delete from public.documents as d
    where d.collection_id = old.collection_id and d.origin = public.source_origin(old.source_id);
    return null;
end
$$;
create trigger sources_removed after delete on public.sources
for each row execute function public.remove_source_documents();

-- Whether the caller may edit what is in a collection.
create function public.may_edit(collection_id uuid) returns boolean
language sql stable
set search_path = ''
as $$
    select public.reads_everything()
        or may_edit.collection_id = any((select public.my_collections('editor'))::uuid[])
$$;

-- Both return whether there is such a one that the caller may edit.
create function public.refresh_source(source_id uuid) returns boolean
language plpgsql security definer
set search_path = ''
as $$
begin
    if not exists (
        select from public.sources as s
        where s.source_id = refresh_source.source_id and public.may_edit(s.collection_id)
    ) then
        return false;
    end if;
    perform public.ask_for_refresh(array[refresh_source.source_id]);
    return true;
end
$$;

create function public.retry_job(job_id bigint) returns boolean
language plpgsql security definer
set search_path = ''
as $$
begin
    if not exists (
        select from public.jobs as j
        where j.job_id = retry_job.job_id and public.may_edit(j.collection_id)
    ) then
        return false;
    end if;
    -- One that is worked on needs no asking.
    update public.jobs as j
    set version = j.version + 1, due_at = pg_catalog.now(), attempts = 0, reason = null,
        dead_at = null
    where j.job_id = retry_job.job_id
        and (j.leased_until is null or j.leased_until < pg_catalog.now());
    return true;
end
$$;

revoke execute on function public.follow_table(uuid), public.refresh_source(uuid),
public.retry_job(bigint) from public, anon, authenticated;
grant execute on function public.follow_table(uuid) to service_role;
grant execute on function public.refresh_source(uuid), public.retry_job(bigint)
to authenticated, service_role;
