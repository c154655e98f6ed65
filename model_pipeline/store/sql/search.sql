select complete, chunk_id, document_id, source, title, heading_path, content, metadata, start_at,
    score, dense_score, lexical_score, (
        select case when %(tell_scope)s then
            public.scope_version(%(collection)s, %(embedder)s)
        end
    )
from public.search_chunks(
    %(text)s, %(vector)s, %(k)s, %(mode)s, %(collection)s, %(filter)s::text::jsonpath, %(candidates)s,
    %(embedder)s
)
