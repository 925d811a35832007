-- What each model cost when it was built last, and at most in its last twenty builds.
with built as (
    select
        nodes.name,
        nodes.run_id,
        nodes.budget_seconds,
        nodes.budget_rows,
        results.seconds,
        nullif(results.rows_affected, -1) as row_count,
        row_number() over (partition by nodes.name order by nodes.run_id desc) as age
    from ops.run_nodes as nodes
    inner join ops.build_results as results using (run_id, unique_id)
    where
        nodes.resource_type in ('model', 'seed')
        and nodes.run_id > (select coalesce(max(run_id), 0) from ops.runs) - 200
)
select
    name,
    (array_agg(run_id order by age))[1] as run_id,
    (array_agg(seconds order by age))[1]::float as seconds,
    (array_agg(row_count order by age))[1] as row_count,
    (array_agg(budget_seconds order by age))[1]::float as budget_seconds,
    (array_agg(budget_rows order by age))[1] as budget_rows,
    max(seconds)::float as most_seconds,
    count(*) as builds
from built
where age <= 20
group by name
order by seconds desc, name
limit %(models)s
