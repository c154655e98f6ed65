-- The chunks of a sample of a collection's documents, in the documents' order.
with sampled as (
    select d.document_id, d.source, d.metadata from public.documents as d
    where d.collection_id = any((select public.collections_named(%(collection)s))::uuid[])
    order by md5(%(seed)s || d.source), d.document_id limit %(documents)s
)
select s.source, k.content, coalesce((
    select jsonb_object_agg(m.key, m.value) from jsonb_each_text(s.metadata) as m
    where m.key = any(%(tags)s) and m.value is not null
), '{}')
from sampled as s
cross join lateral (
    select c.ordinal, c.content from public.chunks as c
    where c.document_id = s.document_id order by c.ordinal limit %(chunks)s
) as k
order by s.source, s.document_id, k.ordinal
