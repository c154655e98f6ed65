-- What is hidden shows neither by an error nor by the time that its look-up takes, at the Data API
-- too, where anybody writes the statement.
--
-- A policy is evaluated when there is a row to test, and finding out what is one's own takes longer
-- than finding no row. So the keys end in the collection: then what is one's own is part of what is
-- looked for in the index, and is found out first, whether there is such a row or not.
alter table public.jobs
drop constraint jobs_document_id_fkey,
drop constraint jobs_source_id_fkey,
drop constraint jobs_pkey,
add primary key (job_id, collection_id);

alter table public.chunks
drop constraint chunks_document_fkey,
drop constraint chunks_pkey,
add primary key (chunk_id, collection_id),
drop constraint chunks_document_id_ordinal_key,
-- Past another's document, a place that is taken there would say that there is one.
add constraint chunks_place_key unique (document_id, collection_id, ordinal);

alter table public.documents
drop constraint documents_collection_key,
drop constraint documents_pkey,
add primary key (document_id, collection_id);

alter table public.sources
drop constraint sources_pkey,
add primary key (source_id, collection_id);

alter table public.chunks
add constraint chunks_document_fkey foreign key (document_id, collection_id)
references public.documents (document_id, collection_id) on delete cascade;
alter table public.jobs
add constraint jobs_document_fkey foreign key (document_id, collection_id)
references public.documents (document_id, collection_id) on delete cascade on update cascade,
add constraint jobs_source_fkey foreign key (source_id, collection_id)
references public.sources (source_id, collection_id) on delete cascade;

-- Ids are the database's to give: one that is taken would be refused. The database's own user and
-- service_role, who see everything, may still give them.
revoke insert, update on public.collections, public.documents, public.chunks from authenticated;
grant insert (name, visibility, owner_id), update (name, visibility, owner_id)
on public.collections to authenticated;
grant insert (
    collection_id, source, title, metadata, content, content_hash, origin, chunk_count
), update (
    collection_id, source, title, metadata, content, content_hash, origin, chunk_count, updated_at
) on public.documents to authenticated;
grant insert (
    collection_id, document_id, ordinal, start_at, heading_path, context, content, metadata,
    embedding
), update (
    collection_id, document_id, ordinal, start_at, heading_path, context, content, metadata,
    embedding
) on public.chunks to authenticated;
do $$
begin
    -- It may become `embedding` any time.
    if exists (
        select from pg_attribute
        where attrelid = 'public.chunks'::regclass and attname = 'embedding_standby'
            and not attisdropped
    ) then
        grant insert (embedding_standby), update (embedding_standby) on public.chunks
        to authenticated;
    end if;
end
$$;
revoke insert on public.answers, public.feedback from authenticated;
revoke insert (answer_id) on public.answers from authenticated;
revoke insert (feedback_id) on public.feedback from authenticated;
grant insert (user_id, question, answer, declined, citations, release_id, collection)
on public.answers to authenticated;
grant insert (answer_id, user_id, rating, comment, corrected_answer, harm)
on public.feedback to authenticated;

-- Editors are readers: of two policies for one reading each row would be tested by both, and neither
-- could be looked for in an index.
drop policy editors on public.documents;
create policy editors_add on public.documents for insert to authenticated
with check (collection_id = any((select public.my_collections('editor'))::uuid[]));
create policy editors_change on public.documents for update to authenticated
using (collection_id = any((select public.my_collections('editor'))::uuid[]))
with check (collection_id = any((select public.my_collections('editor'))::uuid[]));
create policy editors_remove on public.documents for delete to authenticated
using (collection_id = any((select public.my_collections('editor'))::uuid[]));

drop policy editors on public.chunks;
create policy editors_add on public.chunks for insert to authenticated
with check (collection_id = any((select public.my_collections('editor'))::uuid[]));
create policy editors_change on public.chunks for update to authenticated
using (collection_id = any((select public.my_collections('editor'))::uuid[]))
with check (collection_id = any((select public.my_collections('editor'))::uuid[]));
create policy editors_remove on public.chunks for delete to authenticated
using (collection_id = any((select public.my_collections('editor'))::uuid[]));

-- A collection that is just being made is its maker's at once, which no list can tell: no index
-- serves here. What is hidden takes some microseconds, those of one look at one's memberships; past
-- the policies of members, which would take ten times as long. It is in no schema that the Data API
-- shows.
create schema if not exists private;
create view private.my_memberships with (security_barrier = true) as
select m.collection_id from public.members as m where m.user_id = (select auth.uid());
revoke all on private.my_memberships from anon, authenticated;
grant usage on schema private to authenticated;
grant select on private.my_memberships to authenticated;

drop policy readers on public.collections;
create policy everyone on public.collections for select using (visibility = 'public');
create policy readers on public.collections for select to authenticated using (
    owner_id = (select auth.uid())
    or collection_id in (select m.collection_id from private.my_memberships as m)
);

-- 'member': where one is an owner or a member, and not all that is public.
create or replace function public.my_collections(at_least text) returns uuid[]
language sql stable security definer
set search_path = ''
as $$
    select array(
        select c.collection_id from public.collections as c
        where c.owner_id = (select auth.uid()) or (at_least = 'reader' and c.visibility = 'public')
        union
        select m.collection_id from public.members as m
        where m.user_id = (select auth.uid()) and (
            m.role = 'owner' or at_least in ('reader', 'member')
            or (at_least = 'editor' and m.role = 'editor')
        )
    )
$$;
drop policy themselves on public.members;
drop policy owners on public.members;
create policy owners_and_themselves on public.members for select to authenticated using (
    collection_id = any((select public.my_collections('member'))::uuid[]) and (
        user_id = (select auth.uid())
        or collection_id = any((select public.my_collections('owner'))::uuid[])
    )
);
create policy owners_add on public.members for insert to authenticated
with check (collection_id = any((select public.my_collections('owner'))::uuid[]));
create policy owners_change on public.members for update to authenticated
using (collection_id = any((select public.my_collections('owner'))::uuid[]))
with check (collection_id = any((select public.my_collections('owner'))::uuid[]));
create policy owners_remove on public.members for delete to authenticated
using (collection_id = any((select public.my_collections('owner'))::uuid[]));
