{% macro is_active_delivery(source_name) -%}
    _delivery_id in (
        select active_deliveries.delivery_id
        from ops.active_deliveries
        where active_deliveries.source = '{{ source_name }}'
    )
{%- endmacro %}
