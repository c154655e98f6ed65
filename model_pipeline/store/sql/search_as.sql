-- As somebody, in one statement: the search depends on `who`, so the role and the claims are set,
-- until the statement ends, before it begins. Row-level security is planned in it, under that role.
select complete, chunk_id, document_id, source, title, heading_path, content, metadata, start_at,
    score, dense_score, lexical_score, scope
from (
    select set_config('role', %(role)s, true) as role,
        set_config('request.jwt.claims', %(claims)s, true) as claims,
        set_config('request.jwt.claim.sub', %(sub)s, true) as sub,
        %(k)s::integer as k
    offset 0
) as who,
    lateral (
        select who.k, case when %(tell_scope)s then
            public.scope_version(%(collection)s, %(embedder)s)
        end as scope
        offset 0
    ) as read,
    lateral public.search_chunks(
        %(text)s, %(vector)s, read.k, %(mode)s, %(collection)s, %(filter)s::text::jsonpath,
        %(candidates)s, %(embedder)s
    )
