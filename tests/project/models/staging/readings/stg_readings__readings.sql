select
    station as station_id,
    temperature as temperature_degrees,
    rain as rain_millimetres,
    observer,
    _slice_date as reading_date,
    read_at,
    _delivery_id,
    _line
from {{ source('readings', 'readings') }}
where {{ is_active_delivery('readings') }}
