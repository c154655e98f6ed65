-- Training runs, and what happened to each. They are the service's own: nobody else sees a row.
create table public.runs (
    run_id uuid primary key default gen_random_uuid(),
    -- whoever submits the same again gets the same run
    idempotency_key text not null unique check (length(idempotency_key) between 1 and 200),
    -- the run that this one goes on from
    resumes uuid references public.runs,
    -- training/kaggle/runs.py has what follows what
    state text not null default 'preparing' check (state in (
        'preparing', 'pushing', 'submitted', 'running', 'collecting', 'succeeded', 'published',
        'stopped', 'failed', 'cancelled'
    )),
    -- of its kernel and its dataset on Kaggle
    slug text not null unique generated always as (
        'promptly-' || replace(run_id::text, '-', '')
    ) stored,
    dataset_hash text not null,
    git_commit text,
    config jsonb not null check (jsonb_typeof(config) = 'object'),
    -- hours of GPU as they were before the push: {"used", "allowed", "refresh_at"}
    quota jsonb,
    -- how often it was pushed, and as what version Kaggle took it
    pushes integer not null default 0,
    kernel_version integer,
    -- reads of its status that failed in a row; attempts at collecting it
    unreadable integer not null default 0,
    collections integer not null default 0,
    verdict text check (verdict in ('infrastructure', 'failed')),
    reason text,
    metrics jsonb,
    -- what it left, file by file, as training/manifest.py has it
    manifest jsonb,
    -- as it was published
    version text,
    -- what Kaggle logged, its end where that is long
    log text,
    -- the state that was told last
    told text,
    worker_id uuid,
    leased_until timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    changed_at timestamptz not null default clock_timestamp(),
    pushed_at timestamptz,
    ended_at timestamptz,
    -- kernel and dataset are deleted
    cleaned_at timestamptz,
    check ((verdict is not null) = (state = 'failed')),
    check ((version is not null) = (state = 'published'))
);
create index runs_created_at on public.runs (created_at);
create index runs_resumes on public.runs (resumes);

create table public.run_events (
    event_id bigint generated always as identity primary key,
    run_id uuid not null references public.runs,
    event text not null,
    -- after it
    state text not null,
    detail jsonb not null default '{}' check (jsonb_typeof(detail) = 'object'),
    created_at timestamptz not null default clock_timestamp()
);
create index run_events_run_id on public.run_events (run_id, event_id);

create trigger run_events_appended before update or delete on public.run_events
for each row execute function private.refuse_change();

alter table public.runs enable row level security;
alter table public.run_events enable row level security;
revoke all on public.runs, public.run_events from anon, authenticated, service_role;
grant select, insert, update on public.runs to service_role;
grant select, insert on public.run_events to service_role;
