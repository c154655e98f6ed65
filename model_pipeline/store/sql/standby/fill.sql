-- Nobody is waited for: what another changes just now is found by the next pass.
with vectors as materialized (
    select * from unnest(%(ids)s::uuid[], %(versions)s::text[], %(vectors)s::extensions.halfvec[])
        as v (chunk_id, version, embedding)
), mine as materialized (
    select chunk_id, v.embedding from chunks as c join vectors as v using (chunk_id)
    where c.xmin::text = v.version
    for no key update of c skip locked
)
update chunks as c set embedding_standby = m.embedding from mine as m where c.chunk_id = m.chunk_id
