select
    severity,
    count(results.check_id) filter (
        where results.run_id = (select max(run_id) from ops.gate_results)
    ) as airworthy_gate_failed_checks,
    count(results.check_id) as airworthy_gate_failures_total
from (values ('critical'), ('warning')) as severities (severity)
left join (select * from ops.gate_results where not passed) as results using (severity)
group by severity
