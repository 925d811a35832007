"""Prefect's server as one process: `python -m orchestration.prefect_server.program migrate|serve`.

Two things stand between Prefect's server and the libraries here; each is answered by an event of
SQLAlchemy's, and neither touches Prefect's code:

- Prefect wants the extension `pg_trgm`, for indexes that make its search by part of a name quick.
  The embedded PostgreSQL has no extensions: there those indexes are left out.
- SQLAlchemy 2.1 refuses rows with keys that are no columns, as Prefect's scheduler writes them
  (`state` beside a flow run's columns); SQLAlchemy 2.0 left such keys out, and so do we.

Writes the database `prefect`. Killed: the next start goes on.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import ORMExecuteState, Session

from orchestration.prefect_server import home
from orchestration.settings import load
from orchestration.warehouse_server import embedded

_NEEDS_EXTENSION = ("pg_trgm", "gin_trgm_ops", "INDEX CONCURRENTLY trgm_ix_")


def _leave_out_indexes(
    _connection: object, _cursor: object, statement: str, parameters: Any, *_: object
) -> tuple[str, Any]:
    if any(word in statement for word in _NEEDS_EXTENSION):
        return "select 1", parameters
    return statement, parameters


def _leave_out_keys(state: ORMExecuteState) -> Any:
    given = state.parameters
    if not (state.is_insert and isinstance(given, list) and state.bind_mapper):
        return None
    columns = state.bind_mapper.column_attrs.keys()
    if not any(key not in columns for row in given for key in row):
        return None
    rows = [{key: value for key, value in row.items() if key in columns} for row in given]
    return state.session.execute(
        state.statement, rows, execution_options=state.local_execution_options
    )


def main(what: str) -> None:
    """Migrate the database, or serve API and page until ended."""
    event.listen(Session, "do_orm_execute", _leave_out_keys)
    if what == "migrate":
        event.listen(Engine, "before_cursor_execute", _leave_out_indexes, retval=True)
        sys.argv = ["prefect", "server", "database", "upgrade", "--yes"]
    else:
        port = home.of(load()).port
        sys.argv = ["uvicorn", "--factory", "prefect.server.api.server:create_app",
                    "--host", embedded.HOST, "--port", str(port), "--log-level", "warning",
                    "--timeout-keep-alive", "5", "--timeout-graceful-shutdown", "2"]  # fmt: skip
    runpy.run_module(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1])
