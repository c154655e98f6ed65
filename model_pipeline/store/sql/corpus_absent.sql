-- How many of each question's words stand in no chunk of the collection.
select (
    select count(*) from unnest(public.lexemes(q.question)) as w
    where not exists (
        select from public.lexeme_statistics as s
        where s.collection_id = any((select public.collections_named(%(collection)s))::uuid[])
            and s.lexeme = w.lexeme
    )
)
from unnest(%(questions)s::text[]) with ordinality as q (question, n)
order by q.n
