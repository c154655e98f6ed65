-- As somebody, as in search_as.sql.
select public.require_embedder(who.embedder), public.scope_version(%(collection)s, who.embedder)
from (
    select set_config('role', %(role)s, true) as role,
        set_config('request.jwt.claims', %(claims)s, true) as claims,
        set_config('request.jwt.claim.sub', %(sub)s, true) as sub,
        %(embedder)s::text as embedder
    offset 0
) as who
