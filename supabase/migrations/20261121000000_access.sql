-- Who sees what. Row-level security is the lock, for both doors; without a policy nobody but the
-- owner of the tables sees a row.
--
-- A collection has an owner, members (reader, editor, owner) and a visibility. What belongs to it
-- (documents, chunks, statistics) is seen by its readers and written by its editors.

-- Hosted Supabase has these; elsewhere they are made here, to the same effect.
do $$
begin
    if to_regprocedure('auth.uid()') is null then
        create schema if not exists auth;
        create function auth.uid() returns uuid language sql stable as $f$
            select coalesce(
                nullif(current_setting('request.jwt.claim.sub', true), ''),
                nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
            )::uuid
        $f$;
        grant usage on schema auth to anon, authenticated, service_role;
    end if;
    if not (select rolbypassrls from pg_roles where rolname = 'service_role') then
        alter role service_role bypassrls;
    end if;
end
$$;

alter table public.collections
add column owner_id uuid default auth.uid(),
add column visibility text not null default 'private' check (visibility in ('private', 'public')),
drop constraint collections_name_key,
-- Within an owner only: a name that is taken elsewhere must not tell that it is.
add constraint collections_owner_name_key unique nulls not distinct (owner_id, name);

create table public.members (
    collection_id uuid not null references public.collections on delete cascade,
    user_id uuid not null,
    role text not null default 'reader' check (role in ('reader', 'editor', 'owner')),
    created_at timestamptz not null default now(),
    primary key (collection_id, user_id)
);
create index members_user_id on public.members (user_id);
alter table public.members enable row level security;

-- A chunk is of its document's collection, whoever writes it.
alter table public.documents add constraint documents_collection_key
unique (document_id, collection_id);
alter table public.chunks
drop constraint chunks_document_id_fkey,
drop constraint chunks_collection_id_fkey,
add constraint chunks_document_fkey foreign key (document_id, collection_id)
references public.documents (document_id, collection_id) on delete cascade;

-- The collections in which the caller is at least a reader, an editor or an owner. It reads past
-- row-level security: a policy that reads a table with policies would go round in circles.
create function public.my_collections(at_least text) returns uuid[]
language sql stable security definer
set search_path = ''
as $$
    select array(
        select c.collection_id from public.collections as c
        where c.owner_id = (select auth.uid()) or (at_least = 'reader' and c.visibility = 'public')
        union
        select m.collection_id from public.members as m
        where m.user_id = (select auth.uid()) and (
            m.role = 'owner' or at_least = 'reader' or (at_least = 'editor' and m.role = 'editor')
        )
    )
$$;

-- Whether row-level security does not bind the caller. In a function that runs as its owner
-- current_user is that owner; the role that a request took stands in the setting.
create function public.reads_everything() returns boolean
language sql stable security definer
set search_path = ''
as $$
    select r.rolsuper or r.rolbypassrls or pg_catalog.pg_has_role(r.oid, t.relowner, 'usage')
    from pg_catalog.pg_roles as r, pg_catalog.pg_class as t
    where t.oid = 'public.chunks'::regclass
        and r.rolname = coalesce(
            nullif(pg_catalog.current_setting('role', true), 'none'), session_user
        )
$$;

-- The whole subquery is computed once a statement, not once a row.
create policy readers on public.collections for select using (
    owner_id = (select auth.uid()) or visibility = 'public'
    or collection_id = any((select public.my_collections('reader'))::uuid[])
);
create policy creators on public.collections for insert to authenticated
with check (owner_id = (select auth.uid()));
create policy owners_change on public.collections for update to authenticated
using (collection_id = any((select public.my_collections('owner'))::uuid[]))
with check (collection_id = any((select public.my_collections('owner'))::uuid[]));
create policy owners_delete on public.collections for delete to authenticated
using (collection_id = any((select public.my_collections('owner'))::uuid[]));

create policy themselves on public.members for select to authenticated
using (user_id = (select auth.uid()));
create policy owners on public.members to authenticated
using (collection_id = any((select public.my_collections('owner'))::uuid[]))
with check (collection_id = any((select public.my_collections('owner'))::uuid[]));

create policy readers on public.documents for select
using (collection_id = any((select public.my_collections('reader'))::uuid[]));
create policy editors on public.documents to authenticated
using (collection_id = any((select public.my_collections('editor'))::uuid[]))
with check (collection_id = any((select public.my_collections('editor'))::uuid[]));

create policy readers on public.chunks for select
using (collection_id = any((select public.my_collections('reader'))::uuid[]));
create policy editors on public.chunks to authenticated
using (collection_id = any((select public.my_collections('editor'))::uuid[]))
with check (collection_id = any((select public.my_collections('editor'))::uuid[]));

create policy readers on public.chunk_lexemes for select
using (collection_id = any((select public.my_collections('reader'))::uuid[]));
create policy readers on public.collection_statistics for select
using (collection_id = any((select public.my_collections('reader'))::uuid[]));
create policy readers on public.lexeme_statistics for select
using (collection_id = any((select public.my_collections('reader'))::uuid[]));
create policy everyone on public.embedder for select to authenticated using (true);

-- Hosted Supabase grants new tables to everybody; what may be done with these is said here alone.
revoke all on public.collections, public.members, public.documents, public.chunks,
public.chunk_lexemes, public.collection_statistics, public.lexeme_statistics, public.embedder
from anon, authenticated;
grant usage on schema public, extensions to anon, authenticated, service_role;
grant select on public.collections, public.documents, public.chunks, public.chunk_lexemes,
public.collection_statistics, public.lexeme_statistics to anon, authenticated;
grant select on public.embedder to authenticated;
grant select, insert, update, delete on public.members to authenticated;
grant insert, update, delete on public.collections, public.documents, public.chunks
to authenticated;
grant all on public.collections, public.members, public.documents, public.chunks,
public.chunk_lexemes, public.collection_statistics, public.lexeme_statistics, public.embedder
to service_role;

-- Statistics are written by the triggers alone, whoever writes the chunks.
alter function public.index_lexemes() security definer;
alter function public.unindex_lexemes() security definer;
revoke execute on function public.lock_statistics(uuid[]) from public, anon, authenticated;

-- The arms of a search run as the owner: under row-level security no index over words or metadata
-- could be used, since their operators are not leakproof. So each is told which collections to
-- read, and refuses those that the caller may not; the rows shown are read as the caller.
create function public.require_readable(scope uuid[], everything boolean) returns void
language plpgsql stable security definer
set search_path = ''
as $$
begin
    if public.reads_everything() then
        return;
    end if;
    if everything or (scope <@ public.my_collections('reader')) is not true then
        raise insufficient_privilege using message = 'These collections are not yours to read.';
    end if;
end
$$;

-- The registered embedder, which stays as it is until the transaction ends. Whoever writes chunks
-- needs that, and nobody but the owner may change the row, which a lock on it would ask for.
create function public.hold_embedder(out name text, out dimensions integer)
language sql volatile security definer
set search_path = ''
as $$
    select e.name, e.dimensions from public.embedder as e for share
$$;
