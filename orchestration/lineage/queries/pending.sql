-- The steps of the last runs of which something was not told yet, oldest first.
with recent as (
    select * from ops.runs where run_id > (select coalesce(max(run_id), 0) - 100 from ops.runs)
),

steps as (
    select run_id, 'build' as what, max(recorded_at) as happened_at
    from ops.build_results inner join recent using (run_id)
    group by run_id
    union all
    select run_id, 'gate', decided_at
    from ops.verdicts inner join recent using (run_id)
    where kind <> 'rollback'
    union all
    select run_id, 'publish', published_at
    from ops.publications inner join recent using (run_id)
    union all
    select run_id, 'end', finished_at from recent
    where state = 'superseded' and finished_at is not null
)

select
    run_id,
    steps.what,
    happened_at,
    coalesce(told.told_at, 'epoch') as told_at,
    kind,
    runner,
    as_of,
    code_version,
    planned_at,
    build_started_at,
    coalesce(boundaries.until, 0) as boundaries
from steps
inner join recent using (run_id)
left join ops.lineage_told as told on steps.what = told.what and steps.run_id = told.id
left join ops.lineage_told as boundaries
    on boundaries.what = 'run' and steps.run_id = boundaries.id
where told.told_at is null or told.told_at < happened_at
order by happened_at, steps.what
