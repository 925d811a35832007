"""The dbt project as a group of tasks, drawn by Cosmos.

Mode watcher: one task builds, the others watch it. Mode local: each task builds its own nodes, with
retries, pool and priority from the model's `meta.cosmos.operator_kwargs`.

Reads dbt's manifest (`make airflow` and every `plan` write it); writes nothing.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from airflow.sdk import TaskGroup
from airflow.triggers.base import StartTriggerArgs
from cosmos.airflow.task_group import DbtTaskGroup
from cosmos.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import (
    PRODUCER_WATCHER_TASK_ID,
    DbtResourceType,
    ExecutionMode,
    InvocationMode,
    LoadMode,
    TestBehavior,
)
from cosmos.operators.local import DbtTestLocalOperator
from cosmos.operators.watcher import DbtConsumerWatcherSensor

from orchestration import settings
from orchestration.building.build import manifest_path
from orchestration.dags.parts.producer import BuildProducer, NodeBuilder
from orchestration.dags.parts.progress import NodeTrigger

_TRIGGER = f"{NodeTrigger.__module__}.{NodeTrigger.__qualname__}"


def dbt_group(group_id: str) -> DbtTaskGroup:
    """All seeds, models and tests of the manifest, in groups by folder."""
    given = settings.load()
    group = DbtTaskGroup(
        group_id=group_id,
        project_config=ProjectConfig(
            dbt_project_path=given.project,
            manifest_path=manifest_path(given),
            project_name="airworthy",
            install_dbt_deps=False,
        ),
        profile_config=ProfileConfig(
            profile_name="airworthy",
            target_name="prod",
            profiles_yml_filepath=given.project / "profiles.yml",
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.AFTER_EACH,
            group_nodes_by_folder=True,
            emit_datasets=False,
        ),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode(given.cosmos_mode),
            invocation_mode=InvocationMode.DBT_RUNNER,
        ),
    )
    nodes = group.dbt_graph.filtered_nodes
    watched = _watched(group, _tests_by_node(nodes), _unit_tests(manifest_path(given)))
    _draw_missing_edges(nodes, watched)
    _drop_empty_groups(group)
    if given.cosmos_mode == "watcher":
        _let_one_build(group, watched)
    else:
        _let_each_build(watched)
    return group


def _watched(
    group: Any, tests: dict[str, list[str]], unit_tests: dict[str, list[str]]
) -> dict[Any, list[str]]:
    """The nodes that each task stands for: a seed, a model and its unit tests, or tests of rows."""
    found = {}
    for task in group.iter_tasks():
        if isinstance(task, DbtConsumerWatcherSensor):
            unique_id, is_test = str(task.model_unique_id), task.is_test_sensor
        elif "dbt_node_config" in getattr(task, "extra_context", {}):
            unique_id = task.extra_context["dbt_node_config"]["unique_id"]
            is_test = isinstance(task, DbtTestLocalOperator)
        else:
            continue  # the producer, and what Cosmos puts beside it
        found[task] = tests[unique_id] if is_test else [unique_id, *unit_tests[unique_id]]
    return found


def _draw_missing_edges(nodes: dict[str, Any], watched: dict[Any, list[str]]) -> None:
    """A test that reads two models comes after both; Cosmos draws the one that it stands at."""
    task_of = {unique_id: task for task, mine in watched.items() for unique_id in mine}
    for unique_id, task in task_of.items():
        for parent in nodes[unique_id].depends_on if unique_id in nodes else ():
            if parent in task_of and task_of[parent].task_id not in task.upstream_task_ids:
                task_of[parent] >> task


def _drop_empty_groups(group: Any) -> None:
    """Cosmos makes one for each folder, also where none of its nodes is a task (exposures)."""
    for name, child in [*group.children.items()]:
        if isinstance(child, TaskGroup):
            _drop_empty_groups(child)
            if not child.children:
                del group.children[name]


def _let_each_build(watched: dict[Any, list[str]]) -> None:
    """Put our builder in the place of Cosmos's operators, which know nothing of runs."""
    for task, mine in watched.items():
        task.__class__ = NodeBuilder
        task.watched = mine
        task.trigger_rule = (
            "none_failed"  # what this run leaves out is skipped, and in nobody's way
        )


def _let_one_build(group: Any, watched: dict[Any, list[str]]) -> None:
    """Put our producer in the place of Cosmos's, and our triggers behind its sensors."""
    producer = group.tasks_map[PRODUCER_WATCHER_TASK_ID]
    producer.__class__ = BuildProducer  # Cosmos offers no way to name another one
    for task, mine in watched.items():
        _watch(task, producer.task_id, mine)


def _watch(task: Any, producer: str, watched: list[str]) -> None:
    """Let a node's task run in the triggerer alone, from the start of the DAG run.

    It waits for its own nodes, not for other tasks: a node that this run leaves out is skipped,
    and what reads it is not.
    """
    task.start_from_trigger = True
    task.start_trigger_args = StartTriggerArgs(
        trigger_cls=_TRIGGER,
        trigger_kwargs={"producer": producer, "watched": watched},
        next_method="execute_complete",
    )
    task.trigger_rule = "always"
    task.retries = 0


def _unit_tests(manifest: Path) -> dict[str, list[str]]:
    """Those of each model, which Cosmos does not draw: they run before the model, in its task."""
    found: dict[str, list[str]] = defaultdict(list)
    for unique_id, test in json.loads(manifest.read_text())["unit_tests"].items():
        found[test["depends_on"]["nodes"][0]].append(unique_id)
    return found


def _tests_by_node(nodes: dict[str, Any]) -> dict[str, list[str]]:
    """The tests that each node's task shows: every test once, where dbt can run it first."""

    @functools.cache
    def ancestors(unique_id: str) -> frozenset[str]:
        parents = [p for p in nodes[unique_id].depends_on if p in nodes]
        return frozenset(parents).union(*(ancestors(parent) for parent in parents))

    found: dict[str, list[str]] = defaultdict(list)
    for unique_id, node in sorted(nodes.items()):
        if node.resource_type == DbtResourceType.TEST:
            tested = [parent for parent in node.depends_on if parent in nodes]
            last = max(tested, key=lambda parent: (len(ancestors(parent)), parent))
            found[last].append(unique_id)
    return found
