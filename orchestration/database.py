"""Connections to the warehouse, and the one lock that keeps two runs apart.

Reads and writes nothing by itself. A killed process loses its connection, and with it its locks.
"""

from __future__ import annotations

import contextlib
import functools
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from orchestration.errors import AirworthyError, UsageError, WarehouseBusy
from orchestration.settings import Settings, exported, user
from orchestration.warehouse_server import embedded

Connection = psycopg.Connection[Any]
P = ParamSpec("P")
R = TypeVar("R")

_OLDEST_SERVER = 150000
_PATIENCE = 1800  # seconds that a run waits for the chunk of a backfill that is under way
# What a DSN may say, and the variable of libpq's that says the same.
_VARIABLES = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE",
    "password": "PGPASSWORD", "passfile": "PGPASSFILE", "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
    "channel_binding": "PGCHANNELBINDING", "gssencmode": "PGGSSENCMODE",
    "connect_timeout": "PGCONNECT_TIMEOUT", "target_session_attrs": "PGTARGETSESSIONATTRS",
}  # fmt: skip
# These say where others stand; `address` looks there.
_SERVICE = {"service": "PGSERVICE", "servicefile": "PGSERVICEFILE"}
# Every session of ours reads and prints values alike, whatever the server's defaults are.
_SESSION = "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres -c extra_float_digits=1"


def is_embedded(settings: Settings) -> bool:
    return settings.warehouse_url is None


def address(settings: Settings) -> dict[str, str]:
    """libpq's own variables (PGHOST ...) that lead to the warehouse, whoever asks: those of
    WAREHOUSE_URL over those of a service, over those of the environment; no password of ours.

    Raises:
        UsageError: WAREHOUSE_URL cannot be read.
        AirworthyError: the embedded warehouse has never been started.
    """
    if settings.warehouse_url is not None:
        return _address_of_url(settings.warehouse_url, settings.warehouse_variables)
    server = embedded.locate(settings)
    embedded.require_own(server)
    if server.port is None:
        raise AirworthyError("The warehouse has not been started.", todo="Run `make up` first.")
    return {
        "PGHOST": embedded.HOST,
        "PGPORT": str(server.port),
        "PGUSER": embedded.NAME,
        "PGDATABASE": embedded.NAME,
        "PGPASSFILE": str(server.passfile),
    }


def connect(
    settings: Settings, *, run_id: int | None = None, name: str = "", dbname: str | None = None
) -> Connection:
    """A session in autocommit mode; with `run_id`, one that sees that run's pinned inputs.

    Args:
        name: what the session is for, as the server lists it.
        dbname: another database of the same server.

    Raises:
        AirworthyError: the warehouse cannot be reached, or is older than PostgreSQL 15.
    """
    where = address(settings) | ({"PGDATABASE": dbname} if dbname else {})
    try:
        connection = psycopg.connect(
            dsn(where),
            autocommit=True,
            options=session_options(run_id),
            application_name=f"airworthy {name}",
        )
    except psycopg.OperationalError as error:
        raise _unreachable(settings, where, error) from error
    if connection.info.server_version < _OLDEST_SERVER:
        found = connection.info.server_version // 10000
        connection.close()
        raise UsageError(
            f"The warehouse is PostgreSQL {found}, but 15 or newer is needed.",
            todo="Point WAREHOUSE_URL at a newer server, or leave it out.",
        )
    return connection


def session_options(run_id: int | None, role: str | None = None) -> str:
    """What libpq tells the server at the start of a session (as in PGOPTIONS)."""
    options = _SESSION + (f" -c airworthy.run_id={run_id}" if run_id is not None else "")
    return options + (f" -c role=airworthy_{role}" if role else "")


def acts_as(role: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a step work with the rights of one role: the session's, while the step lasts.

    Args:
        role: loader, transformer, auditor or publisher.
    """

    def decorate(step: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(step)
        def within(*args: P.args, **kwargs: P.kwargs) -> R:
            given = [*args, *kwargs.values()]
            connection = next(arg for arg in given if isinstance(arg, psycopg.Connection))
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(f"airworthy_{role}")))
            try:
                return step(*args, **kwargs)
            finally:
                if not connection.closed:
                    connection.execute("reset role")

        return within

    return decorate


@contextlib.contextmanager
def only_one(
    connection: Connection, what: str, *, patience: int = 0, behind: str | None = None
) -> Iterator[None]:
    """Hold the warehouse-wide lock named `what` (a session lock: it dies with the process).

    Args:
        patience: how many seconds to wait for it; who waits first has it first.
        behind: wait only while the lock of this name is held as well.

    Raises:
        WarehouseBusy: another session holds it.
    """
    if not _take(connection, what, patience, behind):
        raise WarehouseBusy(
            f"Another {what} is active in this warehouse.",
            kept="Nothing was changed.",
            todo="Wait until it ends (`make status` shows it), then run the same command again.",
        )
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", [_key(what)])


@contextlib.contextmanager
def turn(connection: Connection) -> Iterator[None]:
    """Hold the lock that keeps two runs apart; behind a backfill's chunk, wait until it ends.

    Raises:
        WarehouseBusy: another run is active.
    """
    with only_one(connection, "run", patience=_PATIENCE, behind="chunk"):
        yield


def _take(connection: Connection, what: str, patience: int, behind: str | None) -> bool:
    held = connection.execute("select pg_try_advisory_lock(%s)", [_key(what)]).fetchone()
    if held and held[0]:
        return True
    if not patience or (behind and not is_held(connection, behind)):
        return False
    try:
        connection.execute(f"set lock_timeout = '{patience}s'")
        connection.execute("select pg_advisory_lock(%s)", [_key(what)])
    except psycopg.errors.LockNotAvailable:
        return False
    finally:
        if not connection.closed:
            connection.execute("reset lock_timeout")
    return True


def is_held(connection: Connection, what: str) -> bool:
    """Whether any session holds the warehouse-wide lock named `what`."""
    row = connection.execute(
        "select exists (select from pg_locks where locktype = 'advisory' and granted and"
        " objsubid = 1 and objid = %s::bigint::oid and classid = 0 and database ="
        " (select oid from pg_database where datname = current_database()))",
        [_key(what)],
    ).fetchone()
    return bool(row and row[0])


def _key(what: str) -> int:
    return zlib.crc32(f"airworthy {what}".encode())


def script(folder: Path, name: str) -> str:
    """The text of the `.sql` file `name` in `folder`."""
    return (folder / f"{name}.sql").read_text(encoding="utf-8")


def relation(schema: str, table: str) -> sql.Composable:
    """`schema.table`, quoted."""
    return sql.Identifier(schema, table)


def _address_of_url(url: str, variables: Mapping[str, str]) -> dict[str, str]:
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError as error:
        raise UsageError(
            f"WAREHOUSE_URL cannot be read: {str(error).strip()}",
            kept="Nothing was changed.",
            todo="It looks like postgresql://user@host:5432/database; see .env.example.",
        ) from error
    known = _VARIABLES | _SERVICE
    unknown = sorted(set(parts) - set(known))
    if unknown:
        raise UsageError(
            f"WAREHOUSE_URL sets {', '.join(unknown)}, which this project does not pass on.",
            todo=f"Use only {', '.join(known)}.",
        )
    said = {known[name]: value for name, value in parts.items()}
    given = {**variables, **said}
    if "PGSERVICE" in given:
        given |= _of_service(given) | said
    defaults = {"PGPORT": "5432", "PGUSER": user()}
    where = {name: given.get(name) or defaults.get(name, "") for name in _VARIABLES.values()}
    where["PGDATABASE"] = where["PGDATABASE"] or where["PGUSER"]
    return {name: value for name, value in where.items() if value}


def _of_service(variables: Mapping[str, str]) -> dict[str, str]:
    """What libpq finds in its service file: only it knows where that lies, and how to read it."""
    with exported(variables):
        options = {option.keyword.decode(): option for option in Conninfo.get_defaults()}
    return {
        variable: option.val.decode()
        for name, variable in _VARIABLES.items()
        if (option := options.get(name)) and option.val and option.val != option.compiled
    }


def dsn(where: dict[str, str]) -> str:
    """libpq's variables, as `address` gives them, in one string."""
    given = {word: where[name] for word, name in _VARIABLES.items() if name in where}
    if "passfile" in given:
        given.setdefault("password", "")  # else a PGPASSWORD meant for another server wins
    return make_conninfo(**given)


def _unreachable(
    settings: Settings, where: dict[str, str], error: psycopg.OperationalError
) -> AirworthyError:
    place = f"{where.get('PGHOST', 'the default host')}:{where.get('PGPORT', '5432')}"
    reason = str(error).strip().splitlines()[-1]
    if is_embedded(settings):
        todo = "Run `make up`; if that does not help, see runbooks/warehouse-does-not-start.md."
    else:
        todo = "Check WAREHOUSE_URL or PG*, and that the server runs; unset: the embedded one."
    return AirworthyError(
        f"The warehouse at {place} cannot be reached: {reason}",
        kept="Nothing was changed.",
        todo=todo,
    )
