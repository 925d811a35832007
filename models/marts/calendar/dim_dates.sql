with

days as (
    {{ dbt.date_spine(
        'day', "cast('2013-01-01' as date)", "cast('2034-01-01' as date)"
    ) }}
),

dated as (
    select cast(date_day as date) as calendar_date
    from days
),

described as (
    select
        -- numerics
        cast(extract(year from calendar_date) as integer) as calendar_year,
        cast(extract(month from calendar_date) as integer) as month_of_year,
        {{ iso_weekday('calendar_date') }} as iso_weekday,

        -- booleans
        {{ iso_weekday('calendar_date') }} >= 6 as is_weekend,

        -- dates
        calendar_date,
        {{ truncate_to_month('calendar_date') }} as calendar_month
    from dated
)

select * from described
