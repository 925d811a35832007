with checked as (
    select distinct on (subject, check_name)
        subject as mart,
        substring(check_name from '\((\w+)\)$') as "column",
        check_name,
        observed
    from ops.gate_results
    where
        (check_name like 'expect\_column\_values\_to\_not\_be\_null(%'
            or check_name like 'expect\_column\_kl\_divergence\_to\_be\_less\_than(%')
        and observed ~ '^[0-9.]+(e[-+][0-9]+)?( % unexpected)?$'
        and run_id > (select coalesce(max(run_id), 0) - 100 from ops.runs)
    order by subject, check_name, run_id desc
)

select
    mart,
    "column",
    max(substring(observed from '^[0-9.]+')::numeric / 100) filter (where observed like '% unexpected')
        as airworthy_null_share_ratio,
    max(case when check_name like '%kl\_divergence%' then observed::float end)
        as airworthy_distribution_divergence
from checked
group by mart, "column"
