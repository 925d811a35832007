-- The deliveries of one source that are published: the base's, and what backfills brought over it
-- for their dates. Newest slice first.
with latest as (select * from ops.publications order by publication_id desc limit 1),

layered as (
    select runs.run_id, runs.as_of, runs.covers
    from latest inner join ops.runs on runs.run_id = any(latest.layers)
),

published as (
    select active.delivery_id, active.slice_date, active.slice_hour, 0 as run_id
    from latest cross join lateral ops.active_deliveries_as_of(latest.as_of) as active
    where active.source = %(source)s
    union all
    select active.delivery_id, active.slice_date, active.slice_hour, layered.run_id
    from layered cross join lateral ops.active_deliveries_as_of(layered.as_of) as active
    where active.source = %(source)s and active.slice_date <@ layered.covers
),

newest as (
    select distinct on (slice_date, slice_hour) delivery_id
    from published
    order by slice_date, slice_hour, run_id desc
)

select
    delivery_id,
    slice_date,
    uri,
    sha256,
    contract_version,
    rows_loaded,
    rows_quarantined,
    recorded_at,
    count(*) over () as deliveries
from newest inner join ops.deliveries using (delivery_id)
order by slice_date desc, slice_hour desc, delivery_id desc
limit %(most)s
