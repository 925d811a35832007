"""Load once what every task needs: before the processes of tasks are forked.

Airflow imports this module at the start of each of its programs; concerned are those that fork
tasks: the scheduler with LocalExecutor, Celery's workers.
Only libraries: the project's own modules may change while the scheduler runs.
Reads and writes nothing. A library that cannot be loaded here says so where it is needed.
"""

from __future__ import annotations

import contextlib
import importlib
import sys

_NEEDED = (
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.execution_time.supervisor",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.decorators.short_circuit",
    "airflow.providers.openlineage.plugins.listener",
    "dbt.cli.main",
    "dbt.adapters.postgres",
    "great_expectations",
    "cosmos.airflow.task_group",
    "cosmos.operators.watcher",
    "dbt.task.build",
    "fsspec.implementations.local",
    "open_data_contract_standard.model",
    "polars",
    "psycopg",
    "sqlglot",
    "rich.progress",
)

if sys.argv[1:2] in (["scheduler"], ["celery"]):
    for _name in _NEEDED:
        with contextlib.suppress(ImportError):
            importlib.import_module(_name)
