"""A run in the ledger: from pinned inputs to one publication, or to nothing.

Reads and writes `ops.runs`; what is said after a run was found is about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from orchestration import console, database
from orchestration.errors import AirworthyError, StaleRun


@dataclass(frozen=True)
class Run:
    """One planned run: the handle that every later step needs.

    Attributes:
        kind: first (nothing is published yet), code (it changed) or changes (deliveries did).
        as_of: the newest delivery the run may read.
    """

    run_id: int
    token: UUID
    kind: str
    as_of: int
    code_version: str

    def require(self, connection: database.Connection, *states: str) -> None:
        """Raise StaleRun unless this run is still the current one and in one of `states`."""
        query = "select state from ops.runs where run_id = %s and token = %s"
        row = connection.execute(query, [self.run_id, self.token]).fetchone()
        if row is None or row[0] not in states:
            raise StaleRun(
                f"Run {self.run_id} is {row[0] if row else 'unknown'}, not {' or '.join(states)}.",
                kept="Nothing was changed.",
                todo="Run `make run`; it plans anew from what is there.",
            )

    def advance(self, connection: database.Connection, state: str) -> None:
        """Note that the run reached `state`; a superseded run can reach none."""
        done = connection.execute(
            "update ops.runs set state = %s,"
            " finished_at = case when %s in ('blocked', 'published', 'skipped') then now() end"
            " where run_id = %s and token = %s and state not in ('superseded', 'published')",
            [state, state, self.run_id, self.token],
        )
        if done.rowcount != 1:
            self.require(connection, "planned", "built", "passed", "blocked")


def current(connection: database.Connection) -> Run:
    """The newest run that is not finished.

    Raises:
        AirworthyError: there is none.
    """
    row = connection.execute(
        "select run_id, token, kind, as_of, code_version from ops.runs"
        " where state in ('planned', 'built', 'passed') order by run_id desc limit 1"
    ).fetchone()
    if row is None:
        raise AirworthyError(
            "There is no unfinished run.",
            kept="Nothing was changed.",
            todo="Run `make plan` first, or `make run` for all steps.",
        )
    console.about_run(row[0])
    return Run(*row)


def recall(connection: database.Connection, run_id: int) -> Run:
    """The run with this number, whatever its state.

    Raises:
        AirworthyError: there is none.
    """
    row = connection.execute(
        "select run_id, token, kind, as_of, code_version from ops.runs where run_id = %s", [run_id]
    ).fetchone()
    if row is None:
        raise AirworthyError(
            f"There is no run {run_id}.",
            kept="Nothing was changed.",
            todo="Run `make run`; it plans anew from what is there.",
        )
    console.about_run(row[0])
    return Run(*row)
