-- Switching the embedder while everything goes on: the store may hold the vectors of a second one,
-- the standby, which is either the next embedder or the previous one. Its vectors stand in the
-- column chunks.embedding_standby, which is there as long as its row is. A switch renames the two
-- columns: `embedding` is always the active embedder's.

alter table public.embedder
drop column singleton,
add column state text not null default 'active' check (state in ('active', 'next', 'previous')),
-- What PROMPTLY_EMBEDDER says to open it; null where that is its name.
add column spec text,
-- At most one that is active, and one that is not. Both change places in one statement.
add column active boolean generated always as (state = 'active') stored,
add primary key (active) deferrable;
update public.embedder set spec = case
    when name like 'onnx:%' then 'onnx:' || split_part(name, ':', 2) else name
end;

-- A row of over 2 kB, as one with two vectors is, keeps its vectors and moves its text out: a scan
-- compares vectors, and shows few texts.
alter table public.chunks alter column embedding set storage main;

-- The active embedder, which stays active until the transaction ends. A second statement, since it
-- sees what a switch did that the first one had to wait for.
create or replace function public.hold_embedder(out name text, out dimensions integer)
language sql volatile security definer
set search_path = ''
as $$
    select from public.embedder for share;
    select e.name, e.dimensions from public.embedder as e where e.state = 'active';
$$;

-- Refuses the vectors of an embedder that is not the active one. Once chunks are locked no switch can
-- come before the statement has ended; this function is volatile, so that it sees a switch that came
-- after the statement began. PostgREST answers this SQLSTATE by the HTTP status 409.
create function public.require_embedder(embedder text) returns void
language plpgsql volatile security definer
set search_path = ''
as $$
begin
    perform from public.chunks limit 0;
    if exists (
        select from public.embedder as e
        where e.state = 'active' and e.name <> require_embedder.embedder
    ) then
        raise sqlstate 'PT409' using
            message = 'Another embedder made the stored vectors than the question''s.',
            hint = 'Embed the question with the active one in the table embedder.';
    end if;
end
$$;

drop function public.search_chunks(
    text, extensions.halfvec, integer, text, text, jsonpath, integer
);

-- The one statement of retrieval, the same through both doors. It runs as its caller: which
-- collections there are to search, and the rows shown, come through row-level security. Always at
-- least one row: `complete` stands on each, and alone, with nulls, where nothing was found.
--
-- `embedder` names the one that made the question's vector: where it is not the active one, nothing
-- is searched. Without a name the caller vouches for it.
create function public.search_chunks(
    query_text text,
    query_embedding extensions.halfvec,
    k integer default 10,
    mode text default 'hybrid',
    collection text default null,
    filter jsonpath default null,
    candidates integer default 100,
    embedder text default null
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
    from collection_statistics as s
    where s.chunk_count > 0 and (
        search_chunks.collection is null
        or s.collection_id = any((select collections_named(search_chunks.collection))::uuid[])
    );
    if scope is null then
        return query select true, null::uuid, null::uuid, null, null, null::text[], null,
            null::jsonb, null::integer, null::float8, null::float8, null::float8;
        return;
    end if;

    if filter is not null then
        qualifying := filtered_chunks(filter, scope, everything, scope_count, exact_limit);
    end if;
    if mode <> 'lexical' then
        if embedder is not null then
            perform require_embedder(embedder);
        end if;
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

grant execute on function public.search_chunks(
    text, extensions.halfvec, integer, text, text, jsonpath, integer, text
) to anon, authenticated, service_role;
grant execute on function public.require_embedder(text) to anon, authenticated, service_role;
