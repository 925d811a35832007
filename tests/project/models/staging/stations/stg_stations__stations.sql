select
    station as station_id,
    name as station_name,
    region as region_id,
    _slice_date as listed_date
from {{ source('stations', 'stations') }}
where {{ is_active_delivery('stations') }}
