-- Raise unless each row of a relation that knows its delivery has a date of that delivery, as far as
-- a run rebuilds it. By another date it would be left out when a run is about the delivery's, or stay
-- when the delivery is corrected. What has no such columns passes.
create function ops.require_delivered_dates(
    relation text, model text, partition_column text, grain text, days_after integer, run_id bigint
)
returns void
language plpgsql stable
as $$
declare
    count bigint;
    rows text;
    ids bigint[];
begin
    if 2 > (
        select count(*) from pg_catalog.pg_attribute
        where
            attrelid = to_regclass(relation) and not attisdropped
            and (attname = '_delivery_id' or attname = partition_column and atttypid = 'date'::regtype)
    ) then
        return;
    end if;
    select array_agg(delivery_id) into ids
    from ops.active_deliveries_as_of((select as_of from ops.runs where runs.run_id = $6))
    where
        slice_days > 0
        and (
            (select bool_or(is_full) from ops.run_nodes where run_nodes.run_id = $6 and name = $2)
            or exists (
                select from ops.run_ranges($6, $2, 0) as ranges
                where slice_date between ranges.first_date and ranges.last_date
            )
        );
    -- Literal numbers, so that the database finds the rows of few deliveries among many.
    execute format(
        $sql$
            with delivered as (
                select
                    delivery_id,
                    date_trunc($1, slice_date)::date as first_date,
                    slice_date + greatest(slice_days, 1) - 1 + $2 as last_date
                from ops.deliveries where delivery_id = any (%3$L::bigint[])
            )
            select count(*), (array_agg(left(found::text, 200)))[:5]::text
            from %1$s as found inner join delivered on found._delivery_id = delivered.delivery_id
            where
                found._delivery_id = any (%3$L::bigint[])
                and found.%2$I not between delivered.first_date and delivered.last_date
        $sql$, relation, partition_column, coalesce(ids, '{}')
    ) into count, rows using grain, days_after;
    if count > 0 then
        raise '%: % rows of % have another % than the date that they were delivered for, which is the one that a run is about: %',
            model, count, relation, partition_column, rows
        using errcode = 'AWPAR', hint = 'Take the date of the delivery, _slice_date, as partition_column.';
    end if;
end
$$;
