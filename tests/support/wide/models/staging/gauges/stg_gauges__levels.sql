select
    station as station_id,
    level as level_centimetres,
    _slice_date as gauge_date
from {{ source('gauges', 'gauges') }}
where {{ is_active_delivery('gauges') }}
