-- One run in the place of several that passed: what they built, tested and rebuilt. Of the evidence
-- on a node, the worst.
with run as (
    insert into ops.runs (kind, runner, requested_by, as_of, code_version, state, build_started_at)
    select 'backfill', %(runner)s, %(who)s, max(as_of), max(code_version), 'built', now()
    from ops.runs where run_id = any (%(staged)s)
    returning run_id
),

nodes as (
    insert into ops.run_nodes (
        run_id, unique_id, resource_type, name, schema_name, is_mart, partition_column, owner,
        is_full, why, selector, budget_seconds, budget_rows
    )
    select distinct on (unique_id)
        run.run_id, unique_id, resource_type, name, schema_name, is_mart, partition_column, owner,
        is_full, why, selector, budget_seconds, budget_rows
    from ops.run_nodes as staged cross join run
    where staged.run_id = any (%(staged)s)
    order by unique_id, is_full desc
),

partitions as (
    insert into ops.run_partitions (run_id, model, partition_date, last_date)
    select distinct run.run_id, model, partition_date, last_date
    from ops.run_partitions as staged cross join run
    where staged.run_id = any (%(staged)s)
),

evidence as (
    insert into ops.build_results
        (run_id, unique_id, status, rows_affected, failures, seconds, message)
    select distinct on (unique_id)
        run.run_id, unique_id, status,
        sum(rows_affected) over (partition by unique_id),
        sum(failures) over (partition by unique_id),
        sum(seconds) over (partition by unique_id),
        message
    from ops.build_results as staged cross join run
    where staged.run_id = any (%(staged)s)
    order by
        unique_id,
        case status when 'success' then 2 when 'pass' then 2 when 'warn' then 1 else 0 end
)

select run_id from run
