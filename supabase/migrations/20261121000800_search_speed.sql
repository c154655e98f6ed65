-- The same results with less work: the index over words is always whole, and serves a small collection
-- too where that is most of the table; terms are scored four at a time.

-- New chunks go straight into the index: a search after an ingest would have to read the whole list
-- of those that wait to be put in.
alter index public.chunk_lexemes_lexemes set (fastupdate = off);
select gin_clean_pending_list('public.chunk_lexemes_lexemes');

-- What one term adds to a chunk's score by BM25, 0 for none. `weight` is the term's idf * (k1 + 1),
-- `norm` is k1 * (1 - b + b * length / mean): tf / (tf + norm) is written so that tf stands there once,
-- or the function would not be inlined.
create function public.bm25(
    lexemes tsvector, term tsquery, weight double precision, norm double precision
)
returns double precision
language sql immutable parallel safe
as $$
    select coalesce(weight * (1 - norm / (norm + public.occurrences_of(lexemes, term))), 0)
$$;

-- Best chunks by BM25 (Robertson and Zaragoza 2009, with Lucene's idf, which is never negative):
-- sum over the question's distinct terms of
--     ln(1 + (N - df + .5) / (df + .5)) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean))
--
-- Every term scores, but only the rarest fetch: the terms whose frequencies add up to at most
-- `budget` rows. So common words cost next to nothing, at any number of chunks. Where even the
-- rarest is common, the chunks that hold the rarest together are fetched, and some of its own.
create or replace function public.lexical_candidates(
    query_text text,
    scope uuid[],
    everything boolean,
    scope_count bigint,
    scope_length bigint,
    filter jsonpath,
    qualifying uuid[],
    wanted integer,
    exact_limit integer,
    out chunk_ids uuid[],
    out scores double precision[],
    out capped boolean
)
language plpgsql stable security definer
set search_path = public, extensions
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
    k1 constant double precision := 1.2;
    b constant double precision := 0.75;
    budget double precision := 400;
    guard constant integer := 2000;
    mean_length double precision := greatest(scope_length::double precision / scope_count, 1);
    terms tsquery[];
    counts double precision[];
    weights double precision[];
    expected double precision;
    fetching tsquery;
    rarest tsquery;
    fetched tid[];
    -- The filter leaves so few chunks that they are read, and words only choose among them.
    few boolean := qualifying is not null;
    by_words boolean;
begin
    perform require_readable(scope, everything);
    capped := false;
    select array_agg(term_query(t.lexeme) order by t.df, t.lexeme),
        array_agg(t.df order by t.df, t.lexeme),
        array_agg(
            (k1 + 1) * ln(1 + (scope_count - t.df + 0.5) / (t.df + 0.5)) order by t.df, t.lexeme
        )
    into terms, counts, weights
    from (
        select s.lexeme, sum(s.chunk_count)::double precision as df
        from lexeme_statistics as s
        where s.collection_id = any(scope)
            and s.lexeme = any(tsvector_to_array(lexemes(query_text)))
        group by s.lexeme
    ) as t;
    if terms is null then
        return;
    end if;

    if filter is not null and not few then
        -- Only a part of what is fetched passes the filter.
        budget := guard;
    end if;
    fetching := terms[1];
    expected := counts[1];
    if expected <= budget or few then
        for i in 2..cardinality(terms) loop
            expected := expected + counts[i];
            capped := expected > budget and not few;
            exit when capped;
            fetching := fetching || terms[i];
        end loop;
    else
        capped := true;
        rarest := terms[1];
        for i in 2..cardinality(terms) loop
            exit when expected <= budget;
            expected := expected * counts[i] / scope_count;
            fetching := fetching && terms[i];
        end loop;
    end if;

    -- A small set is read by its own index and the words tested on it: `offset 0` keeps the planner
    -- from fetching every chunk of the whole table that holds a word. But where the set is most of the
    -- table (a share of -1: nobody has counted), those chunks are fewer. That takes a time that tells
    -- of chunks outside of it, so it is for those who may read these too.
    --
    -- Places of rows (ctid) are the cheapest way from one statement to the next; within a stable
    -- function all see the same snapshot.
    by_words := scope_count <= exact_limit and reads_everything() and expected * (
        select c.reltuples from pg_class as c where c.oid = 'public.chunk_lexemes'::regclass
    ) < scope_count::double precision * scope_count;
    if few then
        fetched := array(
            select s.ctid from (
                select l.ctid, l.lexemes from chunk_lexemes as l
                where l.chunk_id = any(qualifying)
                    and (everything or l.collection_id = any(scope))
                offset 0
            ) as s where s.lexemes @@ fetching
        );
    elsif filter is not null then
        fetched := array(
            select l.ctid from chunk_lexemes as l join chunks as c using (chunk_id)
            where l.lexemes @@ fetching and c.metadata @@ filter
                and (everything or l.collection_id = any(scope))
            limit guard
        );
    elsif everything then
        fetched := array(
            select l.ctid from chunk_lexemes as l where l.lexemes @@ fetching limit guard
        );
    elsif scope_count <= exact_limit and not by_words then
        fetched := array(
            select s.ctid from (
                select l.ctid, l.lexemes from chunk_lexemes as l
                where l.collection_id = any(scope) offset 0
            ) as s where s.lexemes @@ fetching
        );
    else
        fetched := array(
            select l.ctid from chunk_lexemes as l
            where l.collection_id = any(scope) and l.lexemes @@ fetching limit guard
        );
    end if;
    if rarest is not null then
        fetched := fetched || array(
            select l.ctid from chunk_lexemes as l join chunks as c using (chunk_id)
            where l.lexemes @@ rarest and (filter is null or c.metadata @@ filter)
                and (everything or l.collection_id = any(scope))
            limit guard / 3
        );
    end if;

    -- Four terms a step: passing from one to the next would take as long as scoring it.
    with measured as (
        select l.chunk_id, l.lexemes, k1 * (1 - b + b * l.length / mean_length) as norm
        from chunk_lexemes as l where l.ctid = any(fetched)
        offset 0
    ), scored as (
        select m.chunk_id, (
            select sum(
                bm25(m.lexemes, terms[t], weights[t], m.norm)
                + bm25(m.lexemes, terms[t + 1], weights[t + 1], m.norm)
                + bm25(m.lexemes, terms[t + 2], weights[t + 2], m.norm)
                + bm25(m.lexemes, terms[t + 3], weights[t + 3], m.norm)
            )
            from generate_series(1, cardinality(terms), 4) as t
        ) as score
        from measured as m
    ), best as (select * from scored as s order by s.score desc, s.chunk_id limit wanted)
    select array_agg(n.chunk_id), array_agg(n.score) into chunk_ids, scores from best as n;
end
$$;
