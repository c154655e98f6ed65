-- A job that was asked anew meanwhile is only let go.
with mine as (
    select job_id, version = %(version)s as as_claimed from jobs
    where job_id = %(job)s and worker_id = %(worker)s for update
), done as (
    delete from jobs as j using mine as m where j.job_id = m.job_id and m.as_claimed
)
update jobs as j set worker_id = null, leased_until = null, attempts = 0
from mine as m where j.job_id = m.job_id and not m.as_claimed
