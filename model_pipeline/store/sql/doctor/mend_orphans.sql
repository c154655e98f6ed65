-- The writers wait, so that what is counted next stays true.
lock table collections, chunks in share mode;
delete from chunk_lexemes as l
where not exists (select from chunks as c where c.chunk_id = l.chunk_id);
-- As the trigger on chunks does it.
insert into chunk_lexemes (chunk_id, collection_id, lexemes, length)
select c.chunk_id, c.collection_id, l.lexemes, occurrences(l.lexemes)
from chunks as c, lateral (select lexemes(c.context || ' ' || c.content)) as l (lexemes)
where not exists (select from chunk_lexemes as have where have.chunk_id = c.chunk_id)
