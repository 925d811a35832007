"""What is due, late and missing, every ten minutes: alerts are raised, resolved and sent.

Lateness comes from the calendar and the ledger, so this DAG depends on no other, and works when
nothing else runs. A channel that is down is tried again by the next run; the run is red only when a
contract or the routes cannot be read.
"""

from __future__ import annotations

from airflow.sdk import DAG, task
from airflow.timetables.trigger import CronTriggerTimetable

from orchestration import steps
from orchestration.dags.parts.retries import RETRIES

with DAG(
    dag_id="watch",
    schedule=CronTriggerTimetable("*/10 * * * *", timezone="UTC"),
    max_active_runs=1,
    catchup=False,
    is_paused_upon_creation=False,
    doc_md=__doc__,
    tags=["airworthy"],
    default_args={"owner": "flight-analytics", **RETRIES, "pool": "watch"},
) as dag:

    @task
    def watch() -> None:
        steps.watch()

    watch()
