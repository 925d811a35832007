-- What was not built in the last hundred runs is no longer of interest.
select distinct on (nodes.name)
    nodes.name as model,
    results.seconds as airworthy_model_duration_seconds,
    nodes.budget_seconds as airworthy_model_budget_seconds,
    greatest(results.rows_affected, 0) as airworthy_model_built_rows
from ops.run_nodes as nodes
inner join ops.build_results as results using (run_id, unique_id)
where
    nodes.resource_type in ('model', 'seed', 'snapshot')
    and nodes.run_id > (select coalesce(max(run_id), 0) - 100 from ops.runs)
    and results.status = 'success'
order by nodes.name, nodes.run_id desc
