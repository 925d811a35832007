with newest as (
    select
        runs.planned_at,
        runs.build_started_at,
        verdicts.decided_at,
        publications.published_at,
        (
            select max(recorded_at) from ops.build_results where run_id = runs.run_id
        ) as built_at
    from ops.publications
    inner join ops.runs using (run_id)
    inner join ops.verdicts using (run_id)
    where runs.kind <> 'rollback'
    order by publications.publication_id desc
    limit 1
)

select step, extract(epoch from took) as airworthy_step_duration_seconds
from newest
cross join lateral (
    values
    ('build', built_at - build_started_at),
    ('gate', decided_at - built_at),
    ('publish', published_at - decided_at),
    ('all', published_at - planned_at)
) as steps (step, took)
where took is not null
