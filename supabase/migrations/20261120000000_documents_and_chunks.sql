-- Collections hold documents, documents hold chunks. A chunk carries what retrieval needs, its
-- collection included, so that access and filters never need a join.
create schema if not exists extensions;
create extension if not exists vector with schema extensions;

create table public.collections (
    collection_id uuid primary key default gen_random_uuid(),
    name text not null unique check (length(name) between 1 and 200),
    created_at timestamptz not null default now()
);

create table public.documents (
    document_id uuid primary key default gen_random_uuid(),
    collection_id uuid not null references public.collections on delete cascade,
    source text not null,
    title text not null default '',
    metadata jsonb not null default '{}',
    -- sha256 over text, title, metadata and the way it was split: unchanged means skipped
    content_hash text not null,
    -- where an ingest found it (a folder, a file): what --sync compares with
    origin text not null default '',
    chunk_count integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (collection_id, source)
);

create table public.chunks (
    chunk_id uuid primary key default gen_random_uuid(),
    collection_id uuid not null references public.collections on delete cascade,
    document_id uuid not null references public.documents on delete cascade,
    ordinal integer not null,
    -- code points of the document's text, [start_at, start_at + length(content))
    start_at integer not null,
    heading_path text[] not null default '{}',
    -- "title > heading > heading": embedded and indexed with the content, shown apart from it
    context text not null default '',
    content text not null,
    metadata jsonb not null default '{}',
    embedding extensions.halfvec(384) not null,
    unique (document_id, ordinal)
);

create index chunks_collection_id on public.chunks (collection_id);
create index chunks_metadata on public.chunks using gin (metadata jsonb_path_ops);
-- Vectors are of unit length, so the inner product orders as the cosine does, and is cheaper.
create index chunks_embedding on public.chunks
    using hnsw (embedding extensions.halfvec_ip_ops) with (m = 16, ef_construction = 64);

-- The one embedder whose vectors the store holds; another is refused.
create table public.embedder (
    singleton boolean primary key default true check (singleton),
    name text not null,
    dimensions integer not null,
    registered_at timestamptz not null default now()
);

-- Deny by default: without a policy nobody but the owner sees a row.
alter table public.collections enable row level security;
alter table public.documents enable row level security;
alter table public.chunks enable row level security;
alter table public.embedder enable row level security;
