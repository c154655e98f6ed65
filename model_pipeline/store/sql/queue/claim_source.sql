with claimed as (
    update jobs as j
    set worker_id = %(worker)s, leased_until = now() + %(lease)s, attempts = j.attempts + 1,
        progress = '{}'
    where j.job_id = (
        select job_id from jobs
        where source_id is not null and dead_at is null and due_at <= now()
            and (leased_until is null or leased_until < now())
        order by bulk, due_at, job_id limit 1 for update skip locked
    )
    returning j.job_id, j.version, j.attempts, j.source_id
)
select c.job_id, c.version, c.attempts, s.collection_id, s.source_id, s.kind, s.settings, s.trusted
from claimed as c join sources as s using (source_id)
