-- What waited unpublished, and was therefore tried once more by itself.
create table ops.retries (
    delivery_id bigint primary key, -- the newest that waited: one more try for each state of things
    asked_by text not null,
    asked_at timestamptz not null default clock_timestamp()
);

-- One row while deliveries wait that no publication shows and another try may help: nothing was
-- done for them for a while, nothing is held, and no check has judged their data unfit.
create view ops.unattended as
with latest as (
    select coalesce(max(as_of), 0) as as_of
    from ops.publications
    where publication_id = (select max(publication_id) from ops.publications)
),
waiting as (
    select max(delivery_id) as delivery_id, max(recorded_at) as since,
        array_agg(distinct active.source order by active.source) as sources
    from latest, ops.active_deliveries as active
    inner join ops.deliveries using (delivery_id)
    where delivery_id > latest.as_of
),
newest as (
    select run_id, as_of, state
    from ops.runs where backfill_id is null and kind <> 'rollback'
    order by run_id desc limit 1
)
select waiting.*,
    greatest(
        waiting.since,
        (select max(greatest(planned_at, finished_at)) from ops.runs),
        (select max(recorded_at) from ops.build_results)
    ) as idle_since
from waiting
where
    waiting.delivery_id is not null
    and not exists (select from ops.holds where lifted_at is null)
    and not exists (
        select from newest inner join ops.gate_results as results using (run_id)
        where
            newest.state = 'blocked' and newest.as_of >= waiting.delivery_id
            and results.severity = 'critical' and not results.passed
            and (results.kind <> 'evidence' or results.observed = 'fail')
    );
