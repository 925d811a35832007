select
    kind,
    case when runner in ('shell', 'airflow', 'prefect') then runner else 'other' end as runner,
    state,
    count(*) as airworthy_runs
from ops.runs
group by 1, 2, 3
