{% test has_references(model, column_name, to, field, at_least) %}
    -- Returns a row when fewer than the share `at_least` of the values are found in `to`.
    with

    children as (
        select {{ column_name }} as value
        from {{ model }}
        where {{ column_name }} is not null
    ),

    parents as (
        select {{ field }} as value
        from {{ to }}
    ),

    counted as (
        select
            count(*) as value_count,
            count(parents.value) as found_count
        from children
        left join parents
            on children.value = parents.value
    )

    select * from counted
    where found_count < value_count * {{ at_least }}
{% endtest %}
