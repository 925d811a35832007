"""Load once what every task needs: before the processes of tasks are forked.

Airflow imports this module at the start of each of its programs; concerned are those that fork
tasks (the scheduler with LocalExecutor, Celery's workers), or a process for each reading of a DAG
file (the DAG processor).
"""

from __future__ import annotations

import sys

from orchestration import preload

_OF_TASKS = (
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.execution_time.supervisor",
    "airflow.providers.openlineage.plugins.listener",
)
_OF_DAGS = (
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.decorators.short_circuit",
    "cosmos.airflow.task_group",
    "cosmos.operators.watcher",
)

if sys.argv[1:2] in (["scheduler"], ["celery"]):
    preload.load(*_OF_DAGS, *_OF_TASKS)
    preload.load_for_steps()
if sys.argv[1:2] == ["dag-processor"]:
    preload.load(*_OF_DAGS)
