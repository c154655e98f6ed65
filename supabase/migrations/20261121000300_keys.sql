-- Keys for machines. A key is a principal of its own: what it may do stands in members under its id,
-- so that the policies need to know nothing of keys.
create table public.service_keys (
    key_id uuid primary key default gen_random_uuid(),
    name text not null check (length(name) between 1 and 200),
    -- SHA-256 of 256 random bits: nobody guesses those, so that a slow hash would slow only us
    secret_hash bytea not null check (length(secret_hash) = 32),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz,
    last_used_at timestamptz
);
alter table public.service_keys enable row level security;
-- Nobody but the tables' owner: the service checks keys as itself, the command line makes them.
revoke all on public.service_keys from anon, authenticated, service_role;

-- A key owns nothing: what it made would be left without a person to answer for it.
create function public.keys_own_nothing() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    if exists (
        select from public.service_keys as k
        where k.key_id = (pg_catalog.to_jsonb(new) ->> tg_argv[0])::uuid
    ) then
        raise insufficient_privilege using message = 'A service key owns no collection.';
    end if;
    return new;
end
$$;
create trigger keys_own_nothing before insert or update of owner_id on public.collections
for each row execute function public.keys_own_nothing('owner_id');
create trigger keys_own_nothing before insert or update of user_id, role on public.members
for each row when (new.role = 'owner') execute function public.keys_own_nothing('user_id');

-- Whoever made a collection stays its owner: other owners share it, and cannot take it away.
revoke update on public.collections from authenticated;
grant update (name, visibility) on public.collections to authenticated;

-- Names are an owner's own, so that a name taken would tell others what else the owner has.
create function public.only_its_maker_renames() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if old.owner_id is distinct from auth.uid() and not public.reads_everything() then
        raise insufficient_privilege using message = 'Only who made a collection renames it.';
    end if;
    return new;
end
$$;
create trigger only_its_maker_renames before update of name on public.collections
for each row when (new.name is distinct from old.name)
execute function public.only_its_maker_renames();
