-- A filter is applied once, to the documents, whose rows are narrow: what it leaves is handed to both
-- arms as chunks. So a range, which no index helps, reads a small table one time. Chunks carry their
-- document's metadata, never their own: the scan over vectors tests it there without a join.
create index documents_metadata on public.documents using gin (metadata jsonb_path_ops);
drop index public.chunks_metadata;

-- The chunks that a filter leaves, or null where they are more than `at_most`.
create function public.filtered_chunks(
    filter jsonpath, scope uuid[], everything boolean, scope_count bigint, at_most integer
)
returns uuid[]
language plpgsql stable security definer
set search_path = public, extensions
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
    found uuid[];
begin
    perform require_readable(scope, everything);
    if scope_count <= at_most then
        return array(
            select s.chunk_id from (
                select c.chunk_id, c.metadata from chunks as c
                where c.collection_id = any(scope) offset 0
            ) as s where s.metadata @@ filter
        );
    end if;
    found := array(
        select c.chunk_id from documents as d join chunks as c using (document_id)
        where d.metadata @@ filter and (everything or d.collection_id = any(scope))
        limit at_most + 1
    );
    return case when cardinality(found) <= at_most then found end;
end
$$;

drop function public.dense_candidates;
drop function public.lexical_candidates;

-- Each function returns its candidates as arrays, best first: few rows pass between them.
--
-- Plans are made once per connection, without looking at the arguments: planning would take longer
-- than most searches. What such a plan cannot know (that a collection is small) is told by taking
-- sequential scans away: every way here has an index.

-- Nearest chunks by cosine. `qualifying` are the chunks to choose from where they are few; null where
-- they are many. `matching` counts the rows that qualify, up to exact_limit + 1.
--
-- A set of up to exact_limit rows is read through its index and sorted exactly: there the index over
-- vectors would return too few rows, or take longer. Above that, HNSW scans on until enough rows
-- qualify, and where it gives up too early the exact way is taken after all.
create function public.dense_candidates(
    query_embedding extensions.halfvec,
    scope uuid[],
    everything boolean,
    scope_count bigint,
    filter jsonpath,
    qualifying uuid[],
    wanted integer,
    exact_limit integer,
    out chunk_ids uuid[],
    out scores double precision[],
    out matching bigint
)
language plpgsql stable security definer
set search_path = public, extensions
set hnsw.ef_search = 200
set hnsw.iterative_scan = relaxed_order
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
begin
    perform require_readable(scope, everything);
    if qualifying is not null then
        matching := cardinality(qualifying);
        with candidates as materialized (
            select c.chunk_id, c.embedding <#> query_embedding as distance
            from chunks as c
            where c.chunk_id = any(qualifying) and (everything or c.collection_id = any(scope))
        ), nearest as (
            select * from candidates as q order by q.distance, q.chunk_id limit wanted
        )
        select array_agg(n.chunk_id), array_agg(-n.distance) into chunk_ids, scores
        from nearest as n;
    elsif filter is null then
        matching := least(scope_count, exact_limit + 1);
        if scope_count <= exact_limit then
            with candidates as materialized (
                select c.chunk_id, c.embedding <#> query_embedding as distance
                from chunks as c where c.collection_id = any(scope)
            ), nearest as (
                select * from candidates as q order by q.distance, q.chunk_id limit wanted
            )
            select array_agg(n.chunk_id), array_agg(-n.distance) into chunk_ids, scores
            from nearest as n;
        elsif everything then
            with nearest as materialized (
                select c.chunk_id, c.embedding <#> query_embedding as distance
                from chunks as c order by c.embedding <#> query_embedding limit wanted
            ), sorted as (select * from nearest as n order by n.distance, n.chunk_id)
            select array_agg(s.chunk_id), array_agg(-s.distance) into chunk_ids, scores
            from sorted as s;
        else
            with nearest as materialized (
                select c.chunk_id, c.embedding <#> query_embedding as distance
                from chunks as c where c.collection_id = any(scope)
                order by c.embedding <#> query_embedding limit wanted
            ), sorted as (select * from nearest as n order by n.distance, n.chunk_id)
            select array_agg(s.chunk_id), array_agg(-s.distance) into chunk_ids, scores
            from sorted as s;
        end if;
    else
        matching := exact_limit + 1;
        with nearest as materialized (
            select c.chunk_id, c.embedding <#> query_embedding as distance
            from chunks as c
            where c.metadata @@ filter and (everything or c.collection_id = any(scope))
            order by c.embedding <#> query_embedding limit wanted
        ), sorted as (select * from nearest as n order by n.distance, n.chunk_id)
        select array_agg(s.chunk_id), array_agg(-s.distance) into chunk_ids, scores
        from sorted as s;
    end if;
    if qualifying is null and coalesce(cardinality(chunk_ids), 0) < least(wanted, matching) then
        with candidates as materialized (
            select c.chunk_id, c.embedding <#> query_embedding as distance
            from chunks as c
            where (everything or c.collection_id = any(scope))
                and (filter is null or c.metadata @@ filter)
        ), nearest as (
            select * from candidates as q order by q.distance, q.chunk_id limit wanted
        )
        select array_agg(n.chunk_id), array_agg(-n.distance) into chunk_ids, scores
        from nearest as n;
    end if;
end
$$;

-- Best chunks by BM25 (Robertson and Zaragoza 2009, with Lucene's idf, which is never negative):
-- sum over the question's distinct terms of
--     ln(1 + (N - df + .5) / (df + .5)) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean))
--
-- Every term scores, but only the rarest fetch: the terms whose frequencies add up to at most
-- `budget` rows. So common words cost next to nothing, at any number of chunks. Where even the
-- rarest is common, the chunks that hold the rarest together are fetched, and some of its own.
create function public.lexical_candidates(
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
    idfs double precision[];
    expected double precision;
    fetching tsquery;
    rarest tsquery;
    fetched tid[];
    -- The filter leaves so few chunks that they are read, and words only choose among them.
    few boolean := qualifying is not null;
begin
    perform require_readable(scope, everything);
    capped := false;
    select array_agg(term_query(t.lexeme) order by t.df, t.lexeme),
        array_agg(t.df order by t.df, t.lexeme),
        array_agg(
            ln(1 + (scope_count - t.df + 0.5) / (t.df + 0.5)) order by t.df, t.lexeme
        )
    into terms, counts, idfs
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
    -- from fetching every chunk of the whole table that holds a word.
    --
    -- Places of rows (ctid) are the cheapest way from one statement to the next; within a stable
    -- function all see the same snapshot.
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
    elsif scope_count <= exact_limit then
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

    with scored as (
        select l.chunk_id, (
            select sum(t.idf * f.tf * (k1 + 1)
                / (f.tf + k1 * (1 - b + b * l.length / mean_length)))
            from unnest(terms, idfs) as t (term, idf),
                lateral (select occurrences_of(l.lexemes, t.term) offset 0) as f (tf)
        ) as score
        from chunk_lexemes as l where l.ctid = any(fetched)
    ), best as (select * from scored as s order by s.score desc, s.chunk_id limit wanted)
    select array_agg(n.chunk_id), array_agg(n.score) into chunk_ids, scores from best as n;
end
$$;

-- The one statement of retrieval, the same through both doors. It runs as its caller: which
-- collections there are to search, and the rows shown, come through row-level security. Always at least one row: `complete`
-- stands on each, and alone, with nulls, where nothing was found.
create or replace function public.search_chunks(
    query_text text,
    query_embedding extensions.halfvec,
    k integer default 10,
    mode text default 'hybrid',
    collection text default null,
    filter jsonpath default null,
    candidates integer default 100
)
returns table (
    complete boolean,
    chunk_id uuid,
    document_id uuid,
    source text,
    title text,
    heading_path text[],
    content text,
    metadata jsonb,
    start_at integer,
    score double precision,
    dense_score double precision,
    lexical_score double precision
)
language plpgsql stable
set search_path = public, extensions
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    exact_limit constant integer := 4000;
    wanted integer := greatest(candidates, k);
    everything boolean := collection is null and reads_everything();
    scope uuid[];
    scope_count bigint;
    scope_length bigint;
    dense record;
    lexical record;
    qualifying uuid[];
    found_all boolean := true;
begin
    select array_agg(s.collection_id), sum(s.chunk_count), sum(s.total_length)
    into scope, scope_count, scope_length
    from collections as c join collection_statistics as s using (collection_id)
    where s.chunk_count > 0
        and (search_chunks.collection is null or c.name = search_chunks.collection);
    if scope is null then
        return query select true, null::uuid, null::uuid, null, null, null::text[], null,
            null::jsonb, null::integer, null::float8, null::float8, null::float8;
        return;
    end if;

    if filter is not null then
        qualifying := filtered_chunks(filter, scope, everything, scope_count, exact_limit);
    end if;
    if mode <> 'lexical' then
        select * into dense from dense_candidates(
            query_embedding, scope, everything, scope_count, filter, qualifying, wanted,
            exact_limit
        );
    else
        select null::uuid[] as chunk_ids, null::float8[] as scores into dense;
    end if;
    if mode <> 'dense' then
        select * into lexical from lexical_candidates(
            query_text, scope, everything, scope_count, scope_length, filter, qualifying, wanted,
            exact_limit
        );
    else
        select null::uuid[] as chunk_ids, null::float8[] as scores, false as capped into lexical;
    end if;
    if mode = 'lexical' then
        found_all := not lexical.capped or coalesce(cardinality(lexical.chunk_ids), 0) >= k;
    else
        found_all := coalesce(cardinality(dense.chunk_ids), 0) >= least(k, dense.matching);
    end if;

    return query
    with nearest as (
        select d.chunk_id, d.score, d.rank
        from unnest(dense.chunk_ids, dense.scores) with ordinality as d (chunk_id, score, rank)
    ), worded as (
        select l.chunk_id, l.score, l.rank
        from unnest(lexical.chunk_ids, lexical.scores) with ordinality as l (chunk_id, score, rank)
    ), fused as (
        select chunk_id, n.score as dense_score, w.score as lexical_score,
            case mode
                when 'dense' then n.score
                when 'lexical' then w.score
                -- reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)
                else coalesce(1.0::float8 / (60 + n.rank), 0) + coalesce(1.0::float8 / (60 + w.rank), 0)
            end as score
        from nearest as n full join worded as w using (chunk_id)
        order by 4 desc, 2 desc nulls last, 1
        limit k
    )
    select found_all, f.chunk_id, c.document_id, d.source, d.title, c.heading_path, c.content,
        c.metadata, c.start_at, f.score, f.dense_score, f.lexical_score
    from (select 1) as always
    left join (fused as f
        join chunks as c using (chunk_id)
        join documents as d on d.document_id = c.document_id) on true
    order by f.score desc, f.dense_score desc nulls last, f.chunk_id;
end
$$;
