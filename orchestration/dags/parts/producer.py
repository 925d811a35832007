"""The task that builds: one dbt invocation in process, told to the tasks of single nodes.

Cosmos's own producer copies the project, parses it anew and refuses a second try. This one calls
the project's step `build`, which keeps dbt's parse and builds what the run selected. Killed: the
task's next attempt builds the same run again; the gate judges what the ledger holds.
"""

from __future__ import annotations

import threading
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from cosmos.operators.local import DbtRunLocalOperator
from cosmos.operators.watcher import DbtProducerWatcherOperator

from orchestration import steps
from orchestration.building.build import STARTED
from orchestration.dags.parts.progress import KEY

_TELL_SECONDS = 0.4


class BuildProducer(DbtProducerWatcherOperator):
    """Runs the step `build` for the run that task `plan` planned."""

    def execute(self, context: Any, **_: Any) -> None:
        ti = context["ti"]
        run_id = int(ti.xcom_pull(task_ids="plan"))
        with _Teller(ti, steps.selected(run_id)) as teller:
            failed = steps.build(run_id, teller.heard)
        if failed:
            # Another attempt would give the same result.
            raise AirflowFailException(f"dbt failed or skipped: {', '.join(failed)}")


class NodeBuilder(DbtRunLocalOperator):
    """Builds the nodes `watched` (unique ids), as far as the run selected them."""

    watched: list[str]
    # Cosmos's operator for tests, in whose place it is put, lacks fields of the one for models.
    template_fields = ()

    def execute(self, context: Any, **_: Any) -> None:
        run_id = int(context["ti"].xcom_pull(task_ids="plan"))
        mine = sorted({*self.watched} & {*steps.selected(run_id)})
        if not mine:
            raise AirflowSkipException("Not part of this run: nothing that it reads or is changed")
        if failed := steps.build(run_id, lambda *_: None, mine):
            raise AirflowFailException(f"dbt failed or skipped: {', '.join(failed)}")


class _Teller:
    """Keeps the XCom `progress` up to date, from a thread of its own: dbt does not wait for it."""

    def __init__(self, ti: Any, selected: list[str]) -> None:
        self._ti = ti
        self._selected, self._ended = selected, dict[str, str]()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> _Teller:
        self._push()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._push()

    def heard(self, unique_id: str, status: str) -> None:
        if status != STARTED:
            self._ended[unique_id] = status

    def _tell(self) -> None:
        told = 0
        while not self._over.wait(_TELL_SECONDS):
            if len(self._ended) > told:
                told = len(self._ended)
                self._push()

    def _push(self) -> None:
        self._ti.xcom_push(key=KEY, value={"selected": self._selected, "ended": dict(self._ended)})
