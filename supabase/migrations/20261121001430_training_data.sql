-- What training data is made of, and training data itself, through both doors.

-- Answers that somebody corrected or liked, with what was said before them. One that was liked is no
-- example where it was reported as harmful, or flagged by the judge of bias.
create view public.loadable_rated with (security_invoker = true) as
select
    a.answer_id, a.collection, a.question, a.answer, a.declined, a.citations::text as citations,
    f.rating, nullif(btrim(f.corrected_answer), '') as corrected_answer,
    coalesce((
        select jsonb_agg(
            jsonb_build_object('question', b.question, 'answer', b.answer)
            order by b.created_at, b.answer_id
        )
        from public.answers as b
        where b.conversation_id = a.conversation_id
            and b.user_id is not distinct from a.user_id
            and (b.created_at, b.answer_id) < (a.created_at, a.answer_id)
    ), '[]')::text as history,
    a.created_at, greatest(a.created_at, f.updated_at) as updated_at
from public.feedback as f
join public.answers as a on a.answer_id = f.answer_id
where btrim(f.corrected_answer) <> '' or (
    f.rating = 'up' and f.harm is null and not coalesce((a.bias ->> 'flagged')::boolean, false)
);

-- Every frozen test set: nothing may be learnt that one of them asks.
create view public.loadable_test_sets with (security_invoker = true) as
select
    t.name || '@v' || t.version as test_set, t.name, t.examples::text as examples,
    t.created_at as updated_at
from public.test_sets as t;

-- The files of a training data set, line by line, for places that have only HTTPS. What lies here
-- never changes: another data set has another hash.
create table public.training_lines (
    -- <dataset_hash>/<file>/<number>: the lines of a file in their order
    line_key text primary key,
    dataset_hash text not null check (dataset_hash ~ '^[0-9a-f]{64}$'),
    file text not null check (file ~ '^[A-Za-z0-9._-]{1,64}$'),
    line text not null,
    created_at timestamptz not null default now(),
    check (starts_with(line_key, dataset_hash || '/' || file || '/'))
);
create index training_lines_dataset_hash on public.training_lines (dataset_hash, line_key);
create trigger training_lines_frozen before update on public.training_lines
for each row execute function private.refuse_change();

create view public.loadable_training with (security_invoker = true) as
select l.line_key, l.dataset_hash, l.file, l.line, l.created_at as updated_at
from public.training_lines as l;

-- Questions and answers in them may be anybody's: the service's own, as test sets are.
alter table public.training_lines enable row level security;
revoke all on
    public.training_lines, public.loadable_rated, public.loadable_test_sets, public.loadable_training
from anon, authenticated, service_role;
grant select on public.loadable_rated to authenticated, service_role;
grant select on public.loadable_test_sets, public.loadable_training to service_role;
grant select, insert, delete on public.training_lines to service_role;
