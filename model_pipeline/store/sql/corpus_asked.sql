-- What was asked, what was said of it, and what came before it in its conversation; of one collection,
-- or of all that are there to read.
select
    a.question, a.answer, a.declined,
    array(
        select distinct c ->> 'source' from jsonb_array_elements(a.citations) as c
        where c ->> 'source' is not null order by 1
    ),
    f.rating, f.corrected_answer, a.collection,
    coalesce((
        select jsonb_agg(
            jsonb_build_object('question', b.question, 'answer', b.answer)
            order by b.created_at, b.answer_id
        )
        from public.answers as b
        where b.conversation_id = a.conversation_id
            and b.user_id is not distinct from a.user_id
            and (b.created_at, b.answer_id) < (a.created_at, a.answer_id)
    ), '[]')
from public.answers as a
left join public.feedback as f on f.answer_id = a.answer_id
where case
    when %(collection)s::text is not null then a.collection = %(collection)s
    else a.collection is null or cardinality(public.collections_named(a.collection)) > 0
end
order by a.created_at desc, a.answer_id
limit %(most)s
