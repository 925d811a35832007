"""Load once what every task needs: in the scheduler, before it forks the processes of tasks.

Airflow imports this module at the start of each of its programs; only the scheduler is concerned.
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
    "orchestration.dags.parts.models",
    "orchestration.dags.parts.landing_trigger",
    "orchestration.dags.parts.retries",
    "orchestration.ingest",
    "orchestration.run",
    "orchestration.verbs",
)

if sys.argv[1:2] == ["scheduler"]:
    for _name in _NEEDED:
        with contextlib.suppress(ImportError):
            importlib.import_module(_name)
