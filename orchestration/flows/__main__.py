"""Serve the deployments: `python -m orchestration.flows`, started by `make prefect`.

Writes the environment's work pool, queues, deployments and automations (again at each start, so
that they are what the code says), then works off what its queues hold, each flow run in a process
of its own, and watches the landing place. Killed: flow runs under way go on to their end; those
that were killed too are marked as crashed at the next start.
"""

from __future__ import annotations

import contextlib
from typing import Any

import anyio
import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    StateType,
)
from prefect.deployments.runner import EntrypointType
from prefect.events import DeploymentEventTrigger
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Crashed
from prefect.workers.process import ProcessWorker

from orchestration import settings
from orchestration.flows.airflow import asset_flow, dag_flow
from orchestration.flows.backfill import backfill_flow
from orchestration.flows.ingest import ingest_flow
from orchestration.flows.parts import names
from orchestration.flows.parts.watcher import watch
from orchestration.flows.warehouse import warehouse_flow
from orchestration.flows.watch import watch_flow
from orchestration.settings import Settings

# In case nobody says what landed.
_NET = "*/30 * * * *"
_WATCH = "*/10 * * * *"
_UNDER_WAY = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


async def serve(given: Settings) -> None:
    """Register and work, until ended."""
    pool = names.pool(given.environment)
    async with get_client() as client:
        with contextlib.suppress(ObjectAlreadyExists):
            await client.create_work_pool(
                WorkPoolCreate(
                    name=pool,
                    type=ProcessWorker.type,
                    base_job_template=ProcessWorker.get_default_base_job_template(),
                )
            )
        with contextlib.suppress(ObjectAlreadyExists):  # one that somebody has sized stays
            await client.create_global_concurrency_limit(
                GlobalConcurrencyLimitCreate(name=names.BACKFILL, limit=1)
            )
        await _bury(client, pool)
    landed = _on(names.LANDED, names.landing(given.environment))
    loaded = _on(names.LOADED, names.raw(given.environment))
    await _deploy(given, ingest_flow, cron=_NET, triggers=[landed])
    await _deploy(given, warehouse_flow, triggers=[loaded])
    await _deploy(given, watch_flow, cron=_WATCH)
    await _deploy(given, backfill_flow)
    await _deploy(given, dag_flow)
    await _deploy(given, asset_flow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ProcessWorker(pool, name=pool).start)
        tasks.start_soon(watch)


def _on(event: str, resource: str) -> DeploymentEventTrigger:
    return DeploymentEventTrigger(
        name=f"{resource}: {event}", expect={event}, match={"prefect.resource.id": resource}
    )


async def _deploy(given: Settings, flow: Any, **starts: Any) -> None:
    """Register a flow; a queue of its own lets its runs be held or given way."""
    one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
    deployment = await flow.ato_deployment(
        name=given.environment,
        entrypoint_type=EntrypointType.MODULE_PATH,
        work_pool_name=names.pool(given.environment),
        work_queue_name=flow.name,
        job_variables={"working_dir": str(given.project)},
        concurrency_limit=one,
        tags=["airworthy", given.environment],
        **starts,
    )
    await deployment.aapply()


async def _bury(client: Any, pool: str) -> None:
    """Mark as crashed what was under way and has no process any more."""
    left = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state={"type": {"any_": _UNDER_WAY}}),
        work_pool_filter=WorkPoolFilter(name={"any_": [pool]}),
    )
    for run in left:
        if run.infrastructure_pid and psutil.pid_exists(int(run.infrastructure_pid)):
            continue  # it outlived its worker and ends by itself
        state = Crashed(message="The process that worked on it ended.")
        await client.set_flow_run_state(run.id, state, force=True)


if __name__ == "__main__":
    anyio.run(serve, settings.load())
