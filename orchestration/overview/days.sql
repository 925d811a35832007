-- Each day of each source, as far back as its calendar and what is usual before it reach.
with newest as (
    select source, max(slice_date) as slice_date from ops.deliveries
    where outcome = 'loaded' group by source
),
looked_at as (
    select
        deliveries.source,
        deliveries.slice_date,
        min(deliveries.delivery_id) filter (where outcome = 'loaded') as first_delivery,
        min(deliveries.recorded_at) filter (where outcome = 'loaded') as received_at,
        count(*) filter (where outcome = 'rejected') as rejected
    from ops.deliveries inner join newest using (source)
    where
        deliveries.slice_date > newest.slice_date - %(days)s::integer
        and outcome in ('loaded', 'rejected')
    group by deliveries.source, deliveries.slice_date
),
active as (
    select
        slices.source,
        slices.slice_date,
        max(slices.delivery_id) as delivery_id,
        sum(deliveries.rows_loaded)::bigint as rows_loaded,
        sum(deliveries.rows_quarantined)::bigint as rows_quarantined
    from ops.active_deliveries_as_of(9223372036854775807) as slices
    inner join ops.deliveries using (delivery_id)
    group by slices.source, slices.slice_date
)
select
    looked_at.source,
    looked_at.slice_date,
    looked_at.first_delivery,
    looked_at.received_at,
    looked_at.rejected,
    active.delivery_id,
    coalesce(active.rows_loaded, 0) as rows_loaded,
    coalesce(active.rows_quarantined, 0) as rows_quarantined
from looked_at left join active using (source, slice_date)
order by looked_at.source, looked_at.slice_date
