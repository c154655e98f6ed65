-- Writers wait (their triggers count too), readers go on with the numbers of before. Collections come
-- first: to delete one, its rows are locked in the same order, so nobody waits in a circle.
lock table collections, chunks in share mode;
delete from collection_statistics;
delete from lexeme_statistics;
insert into collection_statistics (collection_id, chunk_count, total_length)
select l.collection_id, count(*), sum(l.length)
from chunk_lexemes as l join collections using (collection_id)
group by l.collection_id;
insert into lexeme_statistics (collection_id, lexeme, chunk_count)
select l.collection_id, u.lexeme, count(*)
from chunk_lexemes as l join collections using (collection_id), unnest(l.lexemes) as u
group by l.collection_id, u.lexeme
