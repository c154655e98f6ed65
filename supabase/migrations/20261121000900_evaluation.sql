-- Test sets as they were frozen, and the scorecards of what was measured with them. Both are the
-- service's own: questions and answers in them may be anybody's, so nobody else sees a row.
create table public.test_sets (
    name text not null check (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    version integer not null check (version > 0),
    -- over the examples, whatever their order: what scorecards are compared by
    hash text not null,
    manifest jsonb not null check (jsonb_typeof(manifest) = 'object'),
    examples jsonb not null check (jsonb_typeof(examples) = 'array'),
    created_at timestamptz not null default now(),
    primary key (name, version)
);

create table public.scorecards (
    scorecard_id uuid primary key default gen_random_uuid(),
    release_id text not null,
    test_set_hash text not null,
    -- sha256 of the scorecard's text: the same one is kept once
    hash text not null unique,
    -- not jsonb: every digit and the order of its parts stay
    scorecard json not null,
    created_at timestamptz not null default now()
);
create index scorecards_test_set_hash on public.scorecards (test_set_hash, created_at);
create index scorecards_release_id on public.scorecards (release_id, created_at);

create function private.refuse_change() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception using message = pg_catalog.format(
        'A row of %s never changes once it is written: write another.', tg_table_name
    );
end
$$;
revoke execute on function private.refuse_change() from public;
create trigger test_sets_frozen before update on public.test_sets
for each row execute function private.refuse_change();
create trigger scorecards_frozen before update on public.scorecards
for each row execute function private.refuse_change();

alter table public.test_sets enable row level security;
alter table public.scorecards enable row level security;
revoke all on public.test_sets, public.scorecards from anon, authenticated, service_role;
grant select, insert, delete on public.test_sets, public.scorecards to service_role;
