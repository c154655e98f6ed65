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

-- Whoever made a collection stays its owner: other owners share it, and cannot take it away. Nor
-- rename it: names are an owner's own, and one that is taken would tell what else the owner has.
create function public.stays_its_makers() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if public.reads_everything() then
        return new;
    end if;
    if new.owner_id is distinct from old.owner_id or new.collection_id <> old.collection_id then
        raise insufficient_privilege using message = 'A collection stays with who made it.';
    end if;
    if new.name <> old.name and old.owner_id is distinct from auth.uid() then
        raise insufficient_privilege using message = 'Only who made a collection renames it.';
    end if;
    return new;
end
$$;
create trigger stays_its_makers before update on public.collections
for each row execute function public.stays_its_makers();

-- Looking up one thing: a policy is evaluated when there is a row to test, and finding out what is
-- one's own takes longer than finding no row. So a plain look-up would tell, by the time it takes,
-- what is there but hidden. These find out first, always; null or empty is: not for the caller.

create function public.collection_of(document uuid) returns uuid
language plpgsql stable security definer
set search_path = ''
as $$
declare
    everything boolean := public.reads_everything();
    mine uuid[] := public.my_collections('reader');
begin
    return (
        select d.collection_id from public.documents as d
        where d.document_id = document and (everything or d.collection_id = any(mine))
    );
end
$$;

create function public.collections_named(wanted text) returns uuid[]
language plpgsql stable security definer
set search_path = ''
as $$
declare
    everything boolean := public.reads_everything();
    mine uuid[] := public.my_collections('reader');
begin
    return array(
        select c.collection_id from public.collections as c
        where c.name = wanted and (everything or c.collection_id = any(mine))
    );
end
$$;

create function public.my_role(collection uuid) returns text
language plpgsql stable security definer
set search_path = ''
as $$
declare
    everything boolean := public.reads_everything();
    reads uuid[] := public.my_collections('reader');
    edits uuid[] := public.my_collections('editor');
    owns uuid[] := public.my_collections('owner');
begin
    return (
        select case
            when everything or collection = any(owns) then 'owner'
            when collection = any(edits) then 'editor'
            when collection = any(reads) then 'reader'
        end
        from public.collections as c where c.collection_id = collection
    );
end
$$;
