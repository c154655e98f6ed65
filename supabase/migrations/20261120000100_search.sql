-- Retrieval in one statement: dense (HNSW) and lexical (true BM25) candidates, fused by rank.
-- BM25's statistics are kept by triggers, exact in every transaction, whichever door writes; they
-- are kept per collection, so that idf never tells one tenant about another's words.

-- An unloaded extension's settings cannot be set on a function by anyone but a superuser.
select '[1]'::extensions.vector;

-- One lexer for documents and questions. Marks that join words (app.get, a/b, snake_case) become
-- spaces first: Postgres' parser would keep such words whole, as hosts or paths, and unfindable.
create function public.lexemes(content text) returns tsvector
language sql immutable strict parallel safe
as $$
    select to_tsvector('pg_catalog.english', translate(content, './\:_-@#|=<>', '             '))
$$;

create table public.chunk_lexemes (
    chunk_id uuid primary key,
    collection_id uuid not null,
    lexemes tsvector not null,
    -- occurrences, not distinct lexemes: BM25's document length
    length integer not null
);
-- Scoring reads the vector once per term of the question: inline and uncompressed is what counts.
alter table public.chunk_lexemes alter column lexemes set storage external;
alter table public.chunk_lexemes set (toast_tuple_target = 8160);
create index chunk_lexemes_lexemes on public.chunk_lexemes using gin (lexemes);
create index chunk_lexemes_collection_id on public.chunk_lexemes (collection_id);

create table public.collection_statistics (
    collection_id uuid primary key references public.collections on delete cascade,
    chunk_count bigint not null,
    total_length bigint not null
);

create table public.lexeme_statistics (
    collection_id uuid not null references public.collections on delete cascade,
    lexeme text not null,
    chunk_count bigint not null,
    primary key (collection_id, lexeme)
);

alter table public.chunk_lexemes enable row level security;
alter table public.collection_statistics enable row level security;
alter table public.lexeme_statistics enable row level security;

-- Occurrences in a tsvector. length(tsvector) counts distinct lexemes only.
create function public.occurrences(lexemes tsvector) returns integer
language sql immutable strict parallel safe
as $$
    select coalesce(sum(greatest(cardinality(positions), 1)), 0)::integer from unnest(lexemes)
$$;

-- Two writers that count the same lexemes in another order would deadlock: one at a time within a
-- collection, collections in order.
create function public.lock_statistics(collection_ids uuid[]) returns void
language plpgsql set search_path = public, extensions
as $$
declare
    locked uuid;
begin
    for locked in select distinct id from unnest(collection_ids) as id order by id loop
        perform pg_advisory_xact_lock(hashtextextended('statistics:' || locked, 0));
    end loop;
end
$$;

create function public.index_lexemes() returns trigger
language plpgsql set search_path = public, extensions
as $$
begin
    perform lock_statistics(array(select distinct collection_id from added));
    with indexed as (
        insert into chunk_lexemes (chunk_id, collection_id, lexemes, length)
        select a.chunk_id, a.collection_id, l.lexemes, occurrences(l.lexemes)
        from added as a, lateral (select lexemes(a.context || ' ' || a.content)) as l (lexemes)
        returning collection_id, lexemes, length
    ), counted as (
        insert into collection_statistics as s (collection_id, chunk_count, total_length)
        select collection_id, count(*), sum(length) from indexed group by collection_id
        on conflict (collection_id) do update
        set chunk_count = s.chunk_count + excluded.chunk_count,
            total_length = s.total_length + excluded.total_length
    )
    insert into lexeme_statistics as s (collection_id, lexeme, chunk_count)
    select i.collection_id, u.lexeme, count(*)
    from indexed as i, unnest(i.lexemes) as u
    group by i.collection_id, u.lexeme
    on conflict (collection_id, lexeme) do update
    set chunk_count = s.chunk_count + excluded.chunk_count;
    return null;
end
$$;

create function public.unindex_lexemes() returns trigger
language plpgsql set search_path = public, extensions
as $$
begin
    perform lock_statistics(array(select distinct collection_id from removed));
    with unindexed as (
        delete from chunk_lexemes as l using removed as r where l.chunk_id = r.chunk_id
        returning l.collection_id, l.lexemes, l.length
    ), counted as (
        update collection_statistics as s
        set chunk_count = s.chunk_count - u.chunk_count, total_length = s.total_length - u.length
        from (
            select collection_id, count(*) as chunk_count, sum(length) as length
            from unindexed group by collection_id
        ) as u
        where s.collection_id = u.collection_id
    ), fewer as (
        select i.collection_id, u.lexeme, count(*) as chunk_count
        from unindexed as i, unnest(i.lexemes) as u
        group by i.collection_id, u.lexeme
    ), gone as (
        delete from lexeme_statistics as s using fewer as f
        where s.collection_id = f.collection_id and s.lexeme = f.lexeme
            and s.chunk_count = f.chunk_count
    )
    update lexeme_statistics as s set chunk_count = s.chunk_count - f.chunk_count
    from fewer as f
    where s.collection_id = f.collection_id and s.lexeme = f.lexeme
        and s.chunk_count > f.chunk_count;
    return null;
end
$$;

create trigger chunks_inserted after insert on public.chunks
referencing new table as added
for each statement execute function public.index_lexemes();

create trigger chunks_deleted after delete on public.chunks
referencing old table as removed
for each statement execute function public.unindex_lexemes();

-- A chunk's text is never edited in place: documents are replaced. Another collection or text by
-- UPDATE would leave the statistics behind, so it is refused.
create function public.refuse_chunk_edit() returns trigger
language plpgsql set search_path = public, extensions
as $$
begin
    raise exception 'The text of a chunk cannot be updated: delete it and insert the new one.';
end
$$;

create trigger chunks_text_is_fixed before update on public.chunks
for each row
when (
    (old.chunk_id, old.collection_id, old.context, old.content)
    is distinct from (new.chunk_id, new.collection_id, new.context, new.content)
)
execute function public.refuse_chunk_edit();

-- ts_rank of one lexeme with all weights 1 grows with its number of occurrences and depends on
-- nothing else, so that number can be read back from it, in C, without unnesting the tsvector.
-- The thresholds come from this server's own ts_rank, at 1 to 255 occurrences (a tsvector keeps no
-- more positions than that). double precision, because width_bucket is fast on that alone.
do $$
declare
    ranks double precision[];
begin
    select array_agg(ts_rank('{1,1,1,1}', v.lexemes, 'a') order by n) into ranks
    from generate_series(1, 255) as n,
        lateral (
            select ('a:' || string_agg(p::text, ',' order by p))::tsvector
            from generate_series(1, n) as p
        ) as v (lexemes);
    execute format(
        'create function public.occurrence_ranks() returns double precision[] language sql '
        'immutable parallel safe as %L',
        format('select %L::double precision[]', ranks)
    );
end
$$;

create function public.occurrences_of(lexemes tsvector, term tsquery) returns integer
language sql immutable parallel safe -- not strict: it would not be inlined
as $$
    select width_bucket(
        ts_rank('{1,1,1,1}', lexemes, term)::double precision, public.occurrence_ranks()
    )
$$;

-- A lexeme as a tsquery that matches just it.
create function public.term_query(lexeme text) returns tsquery
language sql immutable strict parallel safe
as $$
    select ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery
$$;
