"""What lands is checked against its contract and loaded; then `warehouse` may start.

Starts when the watcher on the landing place sees something new, and every half hour in case it
missed something. One task takes in one group of sources: those whose columns refer to each other.
A rejected file stays where it landed and turns the run red; all others are loaded.
"""

from __future__ import annotations

from airflow.sdk import DAG, Asset, AssetAlias, AssetWatcher, task
from airflow.sdk.exceptions import AirflowSkipException
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.trigger import CronTriggerTimetable

from orchestration import steps
from orchestration.dags.parts.events import tell_changed
from orchestration.dags.parts.landing_trigger import LandingTrigger
from orchestration.dags.parts.retries import RETRIES
from orchestration.errors import DeliveryRejected

LANDING = Asset("landing", watchers=[AssetWatcher(name="landing", trigger=LandingTrigger())])

with DAG(
    dag_id="ingest",
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("*/30 * * * *", timezone="UTC"), assets=[LANDING]
    ),
    max_active_runs=1,
    catchup=False,
    is_paused_upon_creation=False,
    doc_md=__doc__,
    tags=["airworthy"],
    default_args={
        "owner": "flight-analytics",
        **RETRIES,
        "pool": "ingest",
    },
):

    @task
    def find() -> list[list[str]]:
        return steps.find_new()

    @task
    def take_in(sources: list[str]) -> dict[str, list[str]]:
        return steps.take_in(sources)

    @task(outlets=[AssetAlias("raw")], trigger_rule="all_done")
    def announce(done: list[dict[str, list[str]]], *, outlet_events) -> None:  # type: ignore[no-untyped-def]
        loaded = sorted({source for each in done or [] for source in each["loaded"]})
        if not loaded:
            raise AirflowSkipException("Nothing was loaded")
        tell_changed(outlet_events, "raw", loaded)

    @task
    def reject(done: list[dict[str, list[str]]]) -> None:
        uris = [uri for each in done for uri in each["rejected"]]
        if uris:
            raise DeliveryRejected(f"{len(uris)} landed files were rejected: {uris[:3]}")

    taken = take_in.expand(sources=find())
    announce(taken)
    reject(taken)
