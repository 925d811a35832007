-- An aircraft would have had two sets of attributes on one date.
with

periods as (
    select * from {{ ref('dim_aircraft_history') }}
)

select
    earlier.aircraft_id,
    earlier.valid_from_date,
    earlier.valid_to_date,
    later.valid_from_date as later_valid_from_date
from periods as earlier
inner join periods as later
    on
        earlier.aircraft_id = later.aircraft_id
        and earlier.valid_from_date < later.valid_from_date
where
    earlier.valid_to_date is null
    or later.valid_from_date < earlier.valid_to_date
