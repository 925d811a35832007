-- How each mart stood in each of the last judged runs; what is no mart's own stands under ''.
with judged as (
    select run_id, passed, decided_at from ops.verdicts
    inner join ops.runs using (run_id)
    where kind <> 'rollback'
    order by run_id desc limit %(runs)s
)
select
    judged.run_id,
    judged.decided_at,
    coalesce(marts.name, '') as mart,
    count(*) as checks,
    count(*) filter (where not results.passed and results.severity = 'warning') as warnings,
    count(*) filter (where not results.passed and results.severity = 'critical') as failures,
    min(results.check_name) filter (
        where not results.passed and results.severity = 'critical'
    ) as reason
from judged
inner join ops.gate_results as results using (run_id)
left join ops.run_nodes as marts
    on marts.run_id = results.run_id and marts.name = results.subject and marts.is_mart
group by judged.run_id, judged.decided_at, coalesce(marts.name, '')
order by judged.run_id, mart
