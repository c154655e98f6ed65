-- Rows whose other half is gone: foreign keys and triggers keep them from arising, until somebody
-- loads data with those switched off.
select
    (select count(*) from chunk_lexemes as l
        where not exists (select from chunks as c where c.chunk_id = l.chunk_id)),
    (select count(*) from chunks as c
        where not exists (select from chunk_lexemes as l where l.chunk_id = c.chunk_id)),
    (select count(*) from chunks as c
        where not exists (select from documents as d where d.document_id = c.document_id)),
    (select count(*) from documents as d
        where d.chunk_count <> (
            select count(*) from chunks as c where c.document_id = d.document_id
        ))
