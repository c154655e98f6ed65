-- Conversations, and how what the service was told is written: at once, or from its outbox long after,
-- perhaps twice, perhaps out of order. So all of it goes by ids and times that the service gave it
-- when it took it, and what is written again changes nothing.

create table public.conversations (
    -- An asker may name it. It is looked for among one's own: another's is one that is not there.
    conversation_id uuid not null,
    user_id uuid default auth.uid(),
    -- its first question; null: deleted, and what was said before that does not bring it back
    title text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    unique nulls not distinct (user_id, conversation_id)
);
create index conversations_updated_at on public.conversations (user_id, updated_at, conversation_id);
alter table public.conversations enable row level security;
create policy authors on public.conversations for select to authenticated
using (user_id = (select auth.uid()));
revoke all on public.conversations from anon, authenticated;
grant select on public.conversations to authenticated;
grant all on public.conversations to service_role;

alter table public.answers
add column conversation_id uuid,
add column timings_ms jsonb not null default '{}',
-- When each part of its feedback was last said: what was said before that comes too late.
add column feedback_times jsonb not null default '{}';
create index answers_conversation on public.answers (user_id, conversation_id, created_at);

-- The functions below write for whomever the service has verified. They are the service's alone, and
-- in no schema that the Data API shows: who could choose an answer's id would see by what becomes of
-- it whether it is taken. `whose` is null where nobody signs in.

create function private.keep_answer(whose uuid, said_at timestamptz, kept jsonb) returns jsonb
language plpgsql
set search_path = ''
as $$
begin
    insert into public.conversations as c (conversation_id, user_id, title, created_at, updated_at)
    values (
        (kept ->> 'conversation_id')::uuid, whose, left(kept ->> 'question', 200), said_at, said_at
    )
    on conflict (user_id, conversation_id) do update set
        title = case
            when c.title is null or excluded.created_at < c.created_at then excluded.title
            else c.title
        end,
        created_at = case
            when c.title is null then excluded.created_at
            else least(c.created_at, excluded.created_at)
        end,
        updated_at = greatest(c.updated_at, excluded.updated_at)
    where c.deleted_at is null or c.deleted_at < excluded.created_at;
    if found then
        insert into public.answers (
            answer_id, user_id, conversation_id, question, answer, declined, citations, release_id,
            collection, timings_ms, created_at
        ) values (
            (kept ->> 'answer_id')::uuid, whose, (kept ->> 'conversation_id')::uuid,
            kept ->> 'question', kept ->> 'answer', (kept ->> 'declined')::boolean,
            kept -> 'citations', kept ->> 'release_id', kept ->> 'collection',
            kept -> 'timings_ms', said_at
        )
        on conflict (answer_id) do nothing;
    end if;
    return '{}';
end
$$;

-- What is said of an answer: {"answer_id", "said": {part: words or null}}; a part that is not named
-- stays, one that is null goes. Gives the feedback as it stands, null where there is no such answer
-- of `whose`.
create function private.put_feedback(whose uuid, said_at timestamptz, kept jsonb) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    about uuid := kept ->> 'answer_id';
    times jsonb;
    news jsonb;
    stands jsonb;
begin
    select a.feedback_times into times from public.answers as a
    where a.answer_id = about and a.user_id is not distinct from whose for no key update;
    if not found then
        return null;
    end if;
    select coalesce(pg_catalog.jsonb_object_agg(part.key, part.value), '{}') into news
    from pg_catalog.jsonb_each(kept -> 'said') as part
    where (times ->> part.key)::timestamptz is null or (times ->> part.key)::timestamptz < said_at;

    select pg_catalog.jsonb_build_object(
        'rating', f.rating, 'comment', f.comment, 'corrected_answer', f.corrected_answer,
        'harm', f.harm
    ) into stands
    from public.feedback as f where f.answer_id = about;
    stands := pg_catalog.jsonb_strip_nulls(coalesce(stands, '{}') || news);
    if news = '{}' then
        return stands;
    end if;
    if stands = '{}' then
        delete from public.feedback as f where f.answer_id = about;
    else
        insert into public.feedback (
            answer_id, user_id, rating, comment, corrected_answer, harm, created_at
        ) values (
            about, whose, stands ->> 'rating', stands ->> 'comment', stands ->> 'corrected_answer',
            stands ->> 'harm', said_at
        )
        on conflict (answer_id) do update set
            rating = excluded.rating, comment = excluded.comment,
            corrected_answer = excluded.corrected_answer, harm = excluded.harm;
    end if;
    update public.answers as a set feedback_times = times || (
        select pg_catalog.jsonb_object_agg(part.key, said_at)
        from pg_catalog.jsonb_object_keys(news) as part (key)
    )
    where a.answer_id = about;
    return stands;
end
$$;

-- A conversation with its answers and their feedback; false where there is no such one of `whose`.
create function private.forget_conversation(whose uuid, said_at timestamptz, conversation uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    update public.conversations as c set title = null, deleted_at = said_at
    where c.conversation_id = conversation and c.title is not null
        and (c.user_id = whose or (whose is null and c.user_id is null));
    if not found then
        return false;
    end if;
    delete from public.answers as a
    where a.conversation_id = conversation
        and (a.user_id = whose or (whose is null and a.user_id is null));
    return true;
end
$$;
revoke execute on function
    private.keep_answer(uuid, timestamptz, jsonb),
    private.put_feedback(uuid, timestamptz, jsonb),
    private.forget_conversation(uuid, timestamptz, uuid)
from public, anon, authenticated, service_role;
