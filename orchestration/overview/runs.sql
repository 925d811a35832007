select
    runs.run_id,
    runs.kind,
    runs.state,
    runs.runner,
    runs.requested_by,
    runs.planned_at,
    extract(epoch from runs.finished_at - runs.planned_at)::float as seconds,
    publications.publication_id,
    publications.restores,
    verdicts.passed,
    changes.inserted,
    changes.updated,
    changes.deleted
from ops.runs
left join ops.publications using (run_id)
left join ops.verdicts using (run_id)
left join lateral (
    select
        sum(inserted)::bigint as inserted,
        sum(updated)::bigint as updated,
        sum(deleted)::bigint as deleted
    from ops.publication_changes
    where publication_changes.publication_id = publications.publication_id
) as changes on true
order by runs.run_id desc
limit %(runs)s
