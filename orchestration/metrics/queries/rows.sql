select
    source,
    sum(rows_received) as airworthy_rows_received_total,
    sum(rows_loaded) as airworthy_rows_loaded_total,
    sum(rows_quarantined) as airworthy_rows_quarantined_total,
    extract(epoch from max(recorded_at)) as airworthy_delivery_timestamp_seconds
from ops.deliveries
group by source
