"""Lets Prefect do the work: starts one of its deployments and waits for its end.

For teams who schedule in Airflow and run in Prefect; started by hand or by another DAG. The
parameter `deployment` says which.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from orchestration.dags.parts.prefect_run import RunPrefectDeployment
from orchestration.dags.parts.retries import RETRIES

with DAG(
    dag_id="run_prefect",
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    doc_md=__doc__,
    params={"deployment": Param("warehouse/local", type="string")},
    tags=["airworthy", "bridge"],
    default_args={"owner": "flight-analytics", **RETRIES},
):
    RunPrefectDeployment(task_id="run", deployment="{{ params.deployment }}")
