"""One task run, and for what has rows one asset, per node that dbt builds.

Prefect's own `PrefectDbtRunner` runs dbt in threads of the flow's process, where nothing can end
it, and its task runs stay open when dbt is killed. Here dbt is a process apart that says when each
node starts and ends; the task runs follow it, named and keyed as `PrefectDbtRunner` does. Reads
dbt's manifest; writes Prefect's task runs and assets. Killed: Prefect shows them as they were.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from prefect import get_run_logger, task
from prefect.assets import Asset, AssetProperties
from prefect.futures import PrefectFuture
from prefect.tasks import MaterializingTask
from prefect.types.names import RESTRICTED_ASSET_CHARACTERS

from orchestration import errors, settings
from orchestration.building.build import GOOD, STARTED, manifest_path
from orchestration.flows.parts.task import ONCE

_HOLDS_ROWS = ("model", "seed")
_LOST = "dbt ended before this node did"


class Nodes:
    """Follows one build: `heard` is told of each node's start and end."""

    def __init__(self) -> None:
        given = settings.load()
        manifest = json.loads(manifest_path(given).read_text())
        self._nodes: dict[str, Any] = (
            manifest["nodes"] | manifest["unit_tests"] | manifest["sources"]
        )
        self._adapter = manifest["metadata"]["adapter_type"]
        self._ends: dict[str, Future[str]] = {}
        self._runs: list[PrefectFuture[Any]] = []

    def heard(self, unique_id: str, status: str) -> None:
        if status == STARTED:
            self._ends[unique_id] = Future()
            self._runs.append(self._task(unique_id).submit(self._ends[unique_id]))
        elif unique_id in self._ends and not self._ends[unique_id].done():
            self._ends[unique_id].set_result(status)

    def close(self) -> None:
        """End what is still open, and wait until Prefect knows of all."""
        for end in self._ends.values():
            if not end.done():
                end.set_result(_LOST)
        for run in self._runs:
            run.wait()

    def _task(self, unique_id: str) -> Any:
        node = self._nodes[unique_id]
        options: Any = {"name": node["resource_type"], **ONCE,
                        "task_run_name": f"{node['resource_type']} {node['name']}"}  # fmt: skip
        if node["resource_type"] not in _HOLDS_ROWS:
            return task(**options)(_follow)
        parents = [self._nodes[parent] for parent in node["depends_on"].get("nodes", [])]
        read = [self._asset(parent) for parent in parents if parent["relation_name"]]
        return MaterializingTask(
            _follow, assets=[self._asset(node)], asset_deps=read, materialized_by="dbt", **options
        )

    def _asset(self, node: dict[str, Any]) -> Asset:
        path = node["relation_name"].replace('"', "").replace(".", "/")
        for character in RESTRICTED_ASSET_CHARACTERS:
            path = path.replace(character, "")
        owner = node.get("config", {}).get("group")
        return Asset(
            key=f"{self._adapter}://{path}",
            properties=AssetProperties(
                name=node["name"],
                description=node["description"],
                owners=[owner] if owner else None,
            ),
        )


def _follow(end: Future[str]) -> None:
    status = end.result()
    get_run_logger().info("dbt: %s", status)
    if status not in GOOD:
        raise errors.BuildFailed(f"dbt: {status}")


@contextmanager
def followed() -> Iterator[Nodes]:
    """Task runs for the nodes of the build in the block."""
    nodes = Nodes()
    try:
        yield nodes
    finally:
        nodes.close()
