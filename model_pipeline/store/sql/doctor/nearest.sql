-- The search's own question to the index over vectors.
explain (costs off)
select c.chunk_id from chunks as c
order by c.embedding <#> (select embedding from chunks limit 1)
limit 100
