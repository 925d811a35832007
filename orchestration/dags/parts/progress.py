"""How far a build is: the producer tells, the tasks of single nodes look.

The producer keeps one XCom, `progress`, up to date: {selected: [unique ids], ended: {unique id:
dbt's status}}. A task of a node runs in the triggerer only: `NodeTrigger` waits until all nodes
that it watches have ended, and ends the task accordingly. All triggers of one run share one look
per second. Killed: a new triggerer starts the triggers again, and they look again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.execution_time.xcom import XCom
from airflow.triggers.base import (
    BaseTrigger,
    TaskFailedEvent,
    TaskSkippedEvent,
    TaskSuccessEvent,
    TriggerEvent,
)
from asgiref.sync import sync_to_async

KEY = "progress"
_LOOK_SECONDS = 0.5
_FORGET_SECONDS = 3600
_GOOD = {"success", "pass", "warn", "no-op"}
_OVER = {"success", "failed", "skipped", "upstream_failed", "removed"}


@dataclass
class _View:
    """What was last seen of one run's producer."""

    progress: dict[str, Any] = field(default_factory=dict)
    state: str | None = None
    seen_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


_views: dict[tuple[str, str], _View] = {}


class NodeTrigger(BaseTrigger):
    """Waits for the nodes `watched` (unique ids) of the build that task `producer` runs."""

    def __init__(self, producer: str, watched: list[str]) -> None:
        super().__init__()
        self.producer, self.watched = producer, watched

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"producer": self.producer, "watched": self.watched},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event, once all watched nodes have ended or the producer has."""
        while True:
            view = await self._look()
            event = self._judge(view)
            if event is not None:
                yield event
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _judge(self, view: _View) -> TriggerEvent | None:
        is_over = view.state in _OVER
        if not view.progress:  # the producer has not begun, or never will
            if not is_over:
                return None
            self.log.info("The build ended as %s before it began", view.state)
            return TaskSkippedEvent() if view.state == "skipped" else TaskFailedEvent()
        mine = [name for name in self.watched if name in view.progress["selected"]]
        if not mine:
            self.log.info("Not part of this run: nothing that it reads or is has changed")
            return TaskSkippedEvent()
        ended: dict[str, str] = {n: view.progress["ended"].get(n, "") for n in mine}
        if not is_over and not all(ended.values()):
            return None
        for name, status in ended.items():
            self.log.info("%s: %s", name, status or "dbt left no result")
        return TaskSuccessEvent() if set(ended.values()) <= _GOOD else TaskFailedEvent()

    async def _look(self) -> _View:
        ti = self.task_instance
        assert ti is not None
        view = _views.get((ti.dag_id, ti.run_id)) or _new_view(ti.dag_id, ti.run_id)
        async with view.lock:
            if time.monotonic() - view.seen_at >= _LOOK_SECONDS:
                # In this order: what was told before the end is seen with the end.
                view.state = await sync_to_async(_state)(ti.dag_id, ti.run_id, self.producer)
                view.progress = await sync_to_async(_progress)(ti.dag_id, ti.run_id, self.producer)
                view.seen_at = time.monotonic()
        return view


def _new_view(dag_id: str, run_id: str) -> _View:
    """A view of one more run; those of runs that nobody looks at any more are forgotten."""
    now = time.monotonic()
    for key in [key for key, view in _views.items() if view.seen_at < now - _FORGET_SECONDS]:
        del _views[key]
    _views[dag_id, run_id] = view = _View(seen_at=now - _LOOK_SECONDS)
    return view


def _state(dag_id: str, run_id: str, task_id: str) -> str | None:
    states = RuntimeTaskInstance.get_task_states(
        dag_id=dag_id, task_ids=[task_id], run_ids=[run_id]
    )
    found = states.get(run_id, {}).get(task_id)
    return None if found is None else str(found)


def _progress(dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
    found = XCom.get_one(dag_id=dag_id, run_id=run_id, task_id=task_id, key=KEY)
    return found if isinstance(found, dict) else {}
