-- What was asked and answered, and what the asker said of it. Both are their author's alone; what
-- nobody signed in asked (user_id is null) is seen and written by the database's own user.
create table public.answers (
    answer_id uuid primary key default gen_random_uuid(),
    user_id uuid default auth.uid(),
    question text not null,
    answer text not null,
    declined boolean not null default false,
    citations jsonb not null default '[]' check (jsonb_typeof(citations) = 'array'),
    release_id text not null,
    -- the name that was asked for, as it was then; null: all that the asker may read
    collection text,
    created_at timestamptz not null default now()
);
create index answers_user_id on public.answers (user_id, created_at);
create index answers_created_at on public.answers (created_at);

create table public.feedback (
    feedback_id uuid primary key default gen_random_uuid(),
    -- one of each answer: only its asker sees it
    answer_id uuid not null unique references public.answers on delete cascade,
    user_id uuid default auth.uid(),
    rating text check (rating in ('up', 'down')),
    comment text,
    corrected_answer text,
    -- what is harmful about the answer, in the reporter's words
    harm text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check (num_nonnulls(rating, comment, corrected_answer, harm) > 0)
);
create index feedback_user_id on public.feedback (user_id);
create index feedback_updated_at on public.feedback (updated_at);

create function public.stamp_update() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    new.updated_at := pg_catalog.now();
    return new;
end
$$;
create trigger feedback_updated before update on public.feedback
for each row execute function public.stamp_update();
-- Metadata alone may be edited in the table; loads by date go by this time.
create trigger documents_metadata_updated before update of metadata on public.documents
for each row when (old.metadata is distinct from new.metadata)
execute function public.stamp_update();

alter table public.answers enable row level security;
alter table public.feedback enable row level security;
create policy authors on public.answers for select to authenticated
using (user_id = (select auth.uid()));
create policy authors_add on public.answers for insert to authenticated
with check (user_id = (select auth.uid()));
-- The answers that the subquery sees are the author's own.
create policy authors on public.feedback to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()) and answer_id in (select a.answer_id from public.answers as a));

-- The times are the database's to say, and whose row it is stays as it was.
revoke all on public.answers, public.feedback from anon, authenticated;
grant select on public.answers, public.feedback to authenticated;
grant insert (answer_id, user_id, question, answer, declined, citations, release_id, collection)
on public.answers to authenticated;
grant insert (feedback_id, answer_id, user_id, rating, comment, corrected_answer, harm)
on public.feedback to authenticated;
grant update (rating, comment, corrected_answer, harm) on public.feedback to authenticated;
grant delete on public.feedback to authenticated;
grant all on public.answers, public.feedback to service_role;

-- What load_data reads through both doors, as the caller. JSON and vectors go as text, and so are
-- the same to the last digit whatever carries them.

-- A function, whose body names the column only when it runs: a view would hold the column fast.
create function public.vector_text(chunk_id uuid) returns text
language sql stable
set search_path = ''
as $$
    select c.embedding::text from public.chunks as c where c.chunk_id = vector_text.chunk_id
$$;

create view public.loadable_chunks with (security_invoker = true) as
select
    k.chunk_id, k.document_id, c.name as collection, d.source, d.title, k.ordinal, k.start_at,
    k.heading_path, k.context, k.content, k.metadata::text as metadata,
    public.vector_text(k.chunk_id) as embedding, d.updated_at
from public.chunks as k
join public.documents as d on d.document_id = k.document_id
join public.collections as c on c.collection_id = k.collection_id;

create view public.loadable_feedback with (security_invoker = true) as
select
    f.feedback_id, f.answer_id, f.user_id, a.collection, f.rating, f.comment, f.corrected_answer,
    f.harm, f.created_at, f.updated_at
from public.feedback as f
join public.answers as a on a.answer_id = f.answer_id;

-- The reference is what the answer should have been: as corrected, or as it was where it was liked.
create view public.loadable_pairs with (security_invoker = true) as
select
    a.answer_id, a.user_id, a.collection, a.question, a.answer, a.declined,
    a.citations::text as citations, a.release_id, f.rating,
    coalesce(f.corrected_answer, case when f.rating = 'up' then a.answer end) as reference,
    a.created_at, greatest(a.created_at, f.updated_at) as updated_at
from public.answers as a
left join public.feedback as f on f.answer_id = a.answer_id;

revoke all on public.loadable_chunks, public.loadable_feedback, public.loadable_pairs
from anon, authenticated;
grant select on public.loadable_chunks to anon, authenticated;
grant select on public.loadable_feedback, public.loadable_pairs to authenticated;
grant select on public.loadable_chunks, public.loadable_feedback, public.loadable_pairs
to service_role;
