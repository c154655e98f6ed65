-- The job at the head of the queue decides: one that failed before is taken alone, so that what
-- kills a worker takes nothing else with it; otherwise all that are new and fit.
with due as materialized (
    select locked.*, row_number() over (order by bulk, due_at, job_id) as place from (
        select job_id, document_id, attempts, bulk, due_at from jobs
        where document_id is not null and dead_at is null and due_at <= now()
            and (leased_until is null or leased_until < now())
        order by bulk, due_at, job_id limit %(documents)s for update skip locked
    ) as locked
), sized as (
    select due.job_id, due.place,
        sum(size) over (order by due.place) - size as before
    from due left join documents as d using (document_id),
        lateral (select coalesce(length(d.content), 0) as size) as s
    where due.place = 1 or (due.attempts = 0 and (select attempts = 0 from due where place = 1))
), claimed as (
    update jobs as j
    set worker_id = %(worker)s, leased_until = now() + %(lease)s, attempts = j.attempts + 1
    from sized as s
    where j.job_id = s.job_id and (s.place = 1 or s.before < %(characters)s)
    returning j.job_id, j.version, j.attempts, j.document_id, s.place
)
select c.job_id, c.version, c.attempts, d.collection_id, d.document_id, d.source, d.title,
    d.metadata, d.origin, d.content
from claimed as c join documents as d using (document_id) order by c.place
