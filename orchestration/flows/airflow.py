"""Lets Airflow do the work: starts one of its DAGs and waits, or tells it of a changed asset.

For teams who schedule in Prefect and run in Airflow. The DAG's run and the event are keyed by the
flow run: a lost answer or another attempt makes no second one. Killed or cancelled: the DAG goes
on; the same flow run, tried again, finds its run.
"""

from __future__ import annotations

import time
from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Completed, State

from orchestration import settings
from orchestration.airflow_server import api, home
from orchestration.errors import StepFailed
from orchestration.flows.parts.task import step

_LOOK_SECONDS = 1.0


def _client() -> api.Client:
    here = home.of(settings.load())
    return api.Client(here.address, here.password)


@step
def start(dag: str, key: str, given: dict[str, Any]) -> str:
    """Start a run of the DAG; its id."""
    return _client().start(dag, key, given)


@step
def wait(dag: str, run_id: str) -> str:
    """Wait for the run's end; success or failed."""
    client = _client()
    while (state := client.state(dag, run_id)) not in ("success", "failed"):
        time.sleep(_LOOK_SECONDS)
    return state


@step
def announce(asset: str, key: str) -> None:
    """Tell Airflow that the asset has changed."""
    _client().announce(asset, key)


@flow(name="airflow-dag", persist_result=False, description=__doc__)
def dag_flow(dag: str = "warehouse", given: dict[str, Any] | None = None) -> State[None]:
    """Start a DAG, with the parameters `given`, and wait for its end."""
    run_id = start(dag, f"prefect.{flow_run.id}", given or {})
    if wait(dag, run_id) != "success":
        raise StepFailed(
            f"Airflow's run {run_id} of {dag} failed.",
            kept="The published marts are untouched.",
            todo="Its page says which task, and why.",
        )
    return Completed(message=f"Airflow's run {run_id} of {dag} succeeded.")


@flow(name="airflow-asset", persist_result=False, description=__doc__)
def asset_flow(asset: str = "landing") -> State[None]:
    """Announce a changed asset."""
    announce(asset, f"prefect.{flow_run.id}")
    return Completed(message=f"Airflow knows that {asset} has changed.")
