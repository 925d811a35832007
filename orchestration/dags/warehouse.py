"""From what was delivered to one publication: plan, build, gate, publish.

Starts when `ingest` has loaded something, or `watch` finds that nobody published it. The tasks of
single models and tests show what dbt did with each in this run; those that the run leaves out are
skipped. Whatever they show, the gate judges the evidence in the ledger, and nothing is published
without a passing verdict.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, AssetAlias, task
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowSkipException

from orchestration import steps
from orchestration.dags.parts.events import tell_changed
from orchestration.dags.parts.models import dbt_group
from orchestration.dags.parts.retries import RETRIES
from orchestration.errors import GateBlocked, PublishingHeld

with DAG(
    dag_id="warehouse",
    schedule=[AssetAlias("raw")],
    max_active_runs=1,
    catchup=False,
    is_paused_upon_creation=False,
    doc_md=f"{__doc__}\n{steps.report_link()}",
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=30),
        callback=AsyncCallback("orchestration.dags.parts.alerts.late"),
    ),
    tags=["airworthy"],
    default_args={
        "owner": "flight-analytics",
        **RETRIES,
        "pool": "warehouse",
    },
) as dag:

    @task.short_circuit(ignore_downstream_trigger_rules=True)
    def plan() -> int | None:
        return steps.plan()

    @task(trigger_rule="all_done")
    def gate(number: int | None) -> None:
        try:
            steps.gate(number)
        except GateBlocked:
            steps.report()
            raise

    @task(outlets=[AssetAlias("published")])
    def publish(number: int, *, outlet_events) -> str:  # type: ignore[no-untyped-def]
        try:
            marts = steps.publish(number)
        except PublishingHeld as held:
            raise AirflowSkipException(f"{held} {held.todo}") from held
        tell_changed(outlet_events, "published", marts)
        return steps.report()

    number = plan()
    build = dbt_group("build")
    judged = gate(number)
    number >> build >> judged >> publish(number)
