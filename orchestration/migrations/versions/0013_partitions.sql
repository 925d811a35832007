-- Raise unless each row of what a run built of a model lies in the run's partitions of it, by a date.
create function ops.require_within(
    relation text, model text, partition_column text, run_id bigint
)
returns void
language plpgsql
as $$
declare
    kind text;
    count bigint;
    rows text;
begin
    select format_type(atttypid, atttypmod) into kind from pg_catalog.pg_attribute
    where attrelid = relation::regclass and attname = partition_column and not attisdropped;
    if kind is distinct from 'date' then
        raise '%: its partition_column % is %, and partitions are dates.',
            model, partition_column, coalesce(kind, 'no column of it')
        using errcode = 'AWPAR';
    end if;
    execute format(
        $sql$
            select count(*), (array_agg(left(built::text, 200)))[:5]::text
            from %1$s as built
            where not exists (
                select from ops.run_ranges($1, $2, 0) as ranges
                where built.%2$I between ranges.first_date and ranges.last_date
            )
        $sql$, relation, partition_column
    ) into count, rows using run_id, model;
    if count > 0 then
        raise '%: % rows lie outside the dates that run % is about, by %: %',
            model, count, run_id, partition_column, rows
        using errcode = 'AWPAR';
    end if;
end
$$;
