"""A task that starts a Prefect deployment and waits for its end, without holding a worker.

Speaks to Prefect's REST API. The run is keyed by the Airflow run and task: a lost answer, a
killed task or another attempt finds the run that was started, and starts no second one. Killed
while it waits: a new triggerer goes on waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from orchestration import settings
from orchestration.errors import AirworthyError
from orchestration.prefect_server import api, home

_LOOK_SECONDS = 1.0


def client() -> api.Client:
    """The Prefect server of this checkout."""
    here = home.of(settings.load())
    return api.Client(here.api, here.login)


class RunPrefectDeployment(BaseOperator):
    """Runs `deployment` ("flow/name"); fails when it ends otherwise than completed."""

    template_fields = ("deployment",)

    def __init__(self, *, deployment: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deployment = deployment

    def execute(self, context: Any) -> None:
        ti = context["ti"]
        key = f"airflow.{ti.dag_id}.{ti.run_id}.{ti.task_id}.{ti.map_index}"
        run_id = client().start(self.deployment, key)
        self.log.info("Prefect's run %s of %s", run_id, self.deployment)
        self.defer(trigger=PrefectRunTrigger(run_id), method_name="ended")

    def ended(self, context: Any, event: dict[str, Any]) -> None:
        del context
        if event["type"] != "COMPLETED":
            # Prefect has tried again what can heal.
            raise AirflowFailException(f"Prefect's run is {event['name']}: {event['message']}")
        self.log.info("Prefect: %s", event["message"])


class PrefectRunTrigger(BaseTrigger):
    """Fires when the run has ended, with its state; a server that is away is waited for."""

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"run_id": self.run_id}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        prefect = client()
        while True:
            try:
                state = await sync_to_async(prefect.state)(self.run_id)
            except api.Refused as error:  # somebody deleted it
                yield TriggerEvent({"type": "LOST", "name": "lost", "message": str(error)})
                return
            except AirworthyError as error:
                self.log.warning("%s", error)
            else:
                if state["type"] in api.ENDED:
                    yield TriggerEvent({key: state[key] for key in ("type", "name", "message")})
                    return
            await asyncio.sleep(_LOOK_SECONDS)
