-- Collections and lexemes whose kept numbers are not those counted anew. A row that is not there is
-- as good as one of 0.
select
    (select count(*)
    from (
        select collection_id, count(*) as chunk_count, sum(length) as total_length
        from chunk_lexemes group by collection_id
    ) as counted
    full join collection_statistics as kept using (collection_id)
    where (coalesce(counted.chunk_count, 0), coalesce(counted.total_length, 0))
        <> (coalesce(kept.chunk_count, 0), coalesce(kept.total_length, 0))),
    (select count(*)
    from (
        select l.collection_id, u.lexeme, count(*) as chunk_count
        from chunk_lexemes as l, unnest(l.lexemes) as u group by l.collection_id, u.lexeme
    ) as counted
    full join lexeme_statistics as kept using (collection_id, lexeme)
    where coalesce(counted.chunk_count, 0) <> coalesce(kept.chunk_count, 0))
