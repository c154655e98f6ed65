-- What judges say of stored answers, what people say of that, and the reports over both.

-- One verdict of each judge. It is seen by who got the answer, like the answer itself, and written by
-- the service alone. There is no row for what could not be judged: it is tried again.
create table public.verdicts (
    answer_id uuid not null references public.answers on delete cascade,
    -- the judge, its revision and the hash of its rubric: of two signatures nothing is compared
    signature text not null check (length(signature) between 1 and 1000),
    -- as of the answer: what is one's own is told without looking the answer up
    user_id uuid,
    level smallint not null check (level between 1 and 5),
    score double precision not null check (score between 1 and 5),
    probabilities double precision[] not null check (cardinality(probabilities) = 5),
    -- [{"start", "end", "dimension"}] in characters of the answer
    evidence jsonb not null default '[]' check (jsonb_typeof(evidence) = 'array'),
    reason text not null,
    -- false: the judge abstains, and the level is its best guess
    sure boolean not null,
    dimension text,
    created_at timestamptz not null default now(),
    primary key (answer_id, signature)
);
create index verdicts_user_id on public.verdicts (user_id);

-- What somebody says of a verdict: the level that they would give. Written once, never changed; of one
-- author the last one counts. user_id is null where nobody signed in, and for who runs the service.
create table public.reviews (
    review_id uuid primary key default gen_random_uuid(),
    answer_id uuid not null,
    signature text not null,
    user_id uuid default auth.uid(),
    level smallint not null check (level between 1 and 5),
    comment text check (length(comment) between 1 and 10000),
    created_at timestamptz not null default clock_timestamp(),
    foreign key (answer_id, signature) references public.verdicts on delete cascade
);
create index reviews_verdict on public.reviews (answer_id, signature);
create index reviews_user_id on public.reviews (user_id);

create table public.bias_reports (
    report_id uuid primary key default gen_random_uuid(),
    signature text not null,
    since timestamptz not null,
    until timestamptz not null,
    -- sha256 of the report's text: the same one is kept once
    hash text not null unique,
    -- not jsonb: every digit and the order of its parts stay
    report json not null,
    created_at timestamptz not null default clock_timestamp(),
    check (since < until)
);
create index bias_reports_signature on public.bias_reports (signature, until);

-- What the asker was told of the answer's bias; null: it was not judged before it was shown.
alter table public.answers add column bias jsonb;

create trigger verdicts_frozen before update on public.verdicts
for each row execute function private.refuse_change();
create trigger reviews_frozen before update on public.reviews
for each row execute function private.refuse_change();
create trigger bias_reports_frozen before update on public.bias_reports
for each row execute function private.refuse_change();

alter table public.verdicts enable row level security;
alter table public.reviews enable row level security;
alter table public.bias_reports enable row level security;
create policy authors on public.verdicts for select to authenticated
using (user_id = (select auth.uid()));
create policy authors on public.reviews for select to authenticated
using (user_id = (select auth.uid()));
-- The verdicts that the subquery sees are those on the author's own answers.
create policy authors_add on public.reviews for insert to authenticated
with check (
    user_id = (select auth.uid())
    and (answer_id, signature) in (select v.answer_id, v.signature from public.verdicts as v)
);
revoke all on public.verdicts, public.reviews, public.bias_reports
from anon, authenticated, service_role;
grant select on public.verdicts, public.reviews to authenticated;
grant insert (answer_id, signature, user_id, level, comment) on public.reviews to authenticated;
grant select, insert, delete on public.verdicts, public.reviews, public.bias_reports
to service_role;

-- As before, and with the verdict on what was shown, where it was judged first.
create or replace function private.keep_answer(whose uuid, said_at timestamptz, kept jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    verdict jsonb := nullif(kept -> 'verdict', 'null');
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
    if not found then
        return '{}';
    end if;
    insert into public.answers (
        answer_id, user_id, conversation_id, question, answer, declined, citations, release_id,
        collection, timings_ms, created_at, bias
    ) values (
        (kept ->> 'answer_id')::uuid, whose, (kept ->> 'conversation_id')::uuid,
        kept ->> 'question', kept ->> 'answer', (kept ->> 'declined')::boolean,
        kept -> 'citations', kept ->> 'release_id', kept ->> 'collection',
        kept -> 'timings_ms', said_at, nullif(kept -> 'bias', 'null')
    )
    on conflict (answer_id) do nothing;
    if verdict is not null then
        perform private.keep_verdicts(pg_catalog.jsonb_build_array(
            verdict || pg_catalog.jsonb_build_object('answer_id', kept -> 'answer_id')
        ));
    end if;
    return '{}';
end
$$;

-- Of answers that are there; one that a judge has judged before stays as it is.
create function private.keep_verdicts(verdicts jsonb) returns void
language sql
set search_path = ''
as $$
    insert into public.verdicts (
        answer_id, signature, user_id, level, score, probabilities, evidence, reason, sure, dimension
    )
    select
        a.answer_id, v.signature, a.user_id, v.level, v.score, v.probabilities, v.evidence, v.reason,
        v.sure, v.dimension
    from pg_catalog.jsonb_to_recordset(verdicts) as v (
        answer_id uuid, signature text, level smallint, score double precision,
        probabilities double precision[], evidence jsonb, reason text, sure boolean, dimension text
    )
    join public.answers as a on a.answer_id = v.answer_id
    on conflict (answer_id, signature) do nothing
$$;
revoke execute on function private.keep_verdicts(jsonb)
from public, anon, authenticated, service_role;
