-- By key, so that a pass reads every row once; the keys' order is the index's.
with batch as materialized (
    select chunk_id, document_id, xmin::text as version, heading_path, content from chunks
    where embedding_standby is null and (%(after)s::uuid is null or chunk_id > %(after)s)
    order by chunk_id limit %(limit)s
)
select b.chunk_id, b.version, b.heading_path, b.content, d.title
from batch as b join documents as d using (document_id) order by b.chunk_id
