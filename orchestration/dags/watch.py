"""What is due, late and missing, every ten minutes: alerts are raised, resolved and sent.

Lateness comes from the calendar and the ledger, so this DAG depends on no other, and works when
nothing else runs. A channel that is down is tried again by the next run; the run is red only when a
contract or the routes cannot be read. What arrived and was published by nobody is announced once
more, and `warehouse` starts again; never twice for the same deliveries.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetAlias, task
from airflow.sdk.exceptions import AirflowSkipException
from airflow.timetables.trigger import CronTriggerTimetable

from orchestration import steps
from orchestration.dags.parts.events import tell_changed
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

    @task(outlets=[AssetAlias("raw")], trigger_rule="all_done")
    def retry(*, outlet_events) -> None:  # type: ignore[no-untyped-def]
        sources = steps.retry()
        if not sources:
            raise AirflowSkipException("Nothing waits that another try could help")
        tell_changed(outlet_events, "raw", sources)

    watch() >> retry()
