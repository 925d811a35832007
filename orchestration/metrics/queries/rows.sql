select
    source,
    coalesce(sum(rows_received), 0) as airworthy_rows_received_total,
    coalesce(sum(rows_loaded), 0) as airworthy_rows_loaded_total,
    coalesce(sum(rows_quarantined), 0) as airworthy_rows_quarantined_total,
    extract(epoch from max(recorded_at)) as airworthy_delivery_timestamp_seconds
from (
    select unnest(%(sources)s::text[]) as source
    union
    select source from ops.deliveries
) as sources
left join ops.deliveries using (source)
group by source
