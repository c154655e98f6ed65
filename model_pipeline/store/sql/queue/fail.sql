-- What was asked anew meanwhile has not failed.
update jobs
set worker_id = null, leased_until = null,
    attempts = case when version = %(version)s then attempts else 0 end,
    reason = case when version = %(version)s then %(reason)s else reason end,
    due_at = case
        when version = %(version)s then now() + %(pause)s * interval '1 s' else due_at
    end,
    dead_at = case when version = %(version)s and %(dead)s then now() end
where job_id = %(job)s and worker_id = %(worker)s
