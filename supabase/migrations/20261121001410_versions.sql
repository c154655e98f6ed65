-- Versions of models as they were published, and the ledger of what was done with them: what was in
-- production, when, why and by whom. Both are the service's own, and neither is ever changed or
-- deleted: aliases and tags elsewhere follow the ledger's last entry.
create table public.model_versions (
    repo text not null check (repo ~ '^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$'),
    tag text not null check (tag ~ '^v[1-9][0-9]{0,8}$'),
    commit text not null check (commit ~ '^[0-9a-f]{40}$'),
    kind text not null check (kind in ('adapter', 'merged')),
    -- what an adapter is for: owner/name@commit
    base text check (length(base) between 1 and 500),
    -- sha256 of the manifest that the fine-tune left, and the kind: of one there is one version
    made_from text not null check (made_from ~ '^[0-9a-f]{64}$'),
    dataset_hash text,
    created_at timestamptz not null default clock_timestamp(),
    primary key (repo, commit),
    unique (repo, tag),
    unique (repo, made_from),
    check (kind = 'merged' or base is not null)
);

create table public.model_ledger (
    repo text not null,
    entry integer not null check (entry > 0),
    commit text not null,
    action text not null check (action in ('published', 'promoted', 'rolled_back')),
    reason text not null check (length(reason) between 1 and 2000),
    made_by text not null check (length(made_by) between 1 and 200),
    created_at timestamptz not null default clock_timestamp(),
    primary key (repo, entry),
    foreign key (repo, commit) references public.model_versions
);
create index model_ledger_version on public.model_ledger (repo, commit);

create trigger model_versions_frozen before update or delete on public.model_versions
for each row execute function private.refuse_change();
create trigger model_ledger_frozen before update or delete on public.model_ledger
for each row execute function private.refuse_change();

alter table public.model_versions enable row level security;
alter table public.model_ledger enable row level security;
revoke all on public.model_versions, public.model_ledger from anon, authenticated, service_role;
grant select, insert on public.model_versions, public.model_ledger to service_role;
