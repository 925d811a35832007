"""Places where a run's sessions wait until they are released: the middle of a step, held open."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.support.checkout import Checkout, Connection
from tests.support.commands import Process
from tests.support.patience import until

STEPS = ("ingest", "plan", "build", "gate", "publish")
FACTS, DAILY = "fct_readings", "agg_stations_daily"
# Where a step is stopped in the middle of its work: the table it is about to write.
MIDDLE = {
    "ingest": "ops.deliveries",
    "plan": "ops.run_partitions",
    "build": f"candidate.{FACTS}",
    "gate": "ops.verdicts",
    "publish": f"published.{FACTS}",
}
_KEY = 1905
_numbers = itertools.count(1)


class Point:
    """A place where sessions wait until they are released."""

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection, self._number = connection, number

    def is_reached(self) -> bool:
        return self._waiting() is not None

    def reached(self, process: Process) -> int:
        """The number of the session that waits here."""
        await_while_running(self.is_reached, process)
        waiting = self._waiting()
        assert waiting is not None
        return waiting

    def release(self) -> None:
        self._connection.close()

    def _waiting(self) -> int | None:
        row = self._connection.execute(
            "select pid from pg_locks where locktype = 'advisory' and not granted"
            " and classid = %s and objid = %s"
            " and database = (select oid from pg_database where datname = current_database())",
            [_KEY, self._number],
        ).fetchone()
        return int(row[0]) if row else None


@contextmanager
def stop_at(made: Checkout, table: str, run_id: int = 0) -> Iterator[Point]:
    """Let a step that is about to write `table` wait; with `run_id`, that run's dbt instead."""
    number = next(_numbers)
    with made.connect() as connection:
        connection.execute(
            "create or replace function public.wait_here() returns trigger language plpgsql as"
            " $$ begin if tg_argv[1] ="
            " coalesce(nullif(current_setting('airworthy.run_id', true), ''), '0') then"
            f" perform pg_advisory_xact_lock_shared({_KEY}, tg_argv[0]::int);"
            " end if; return null; end $$;"
            f"create trigger wait_{number} before insert or update or delete on {table}"
            f" for each statement execute function public.wait_here({number}, {run_id})"
        )
        yield _hold(connection, number)


@contextmanager
def stop_when_made(made: Checkout, relation: str, run_id: int) -> Iterator[Point]:
    """Let that run's dbt wait when it has made a relation and not filled or renamed it yet."""
    number = next(_numbers)
    with made.connect() as connection:
        connection.execute(
            "create or replace function public.wait_there() returns event_trigger"
            " language plpgsql as $$ begin"
            " if exists (select from pg_event_trigger_ddl_commands()"
            f" where object_identity ~ '[.]{relation}(__dbt_tmp[0-9]*)?$')"
            f" and current_setting('airworthy.run_id', true) = '{run_id}' then"
            f" perform pg_advisory_xact_lock_shared({_KEY}, {number}); end if; end $$;"
            "drop event trigger if exists wait;"
            "create event trigger wait on ddl_command_end execute function public.wait_there()"
        )
        yield _hold(connection, number)


def coming_run(made: Checkout) -> int:
    """The number of the next run to be planned: dbt's sessions carry it."""
    last = "pg_sequence_last_value(pg_get_serial_sequence('ops.runs', 'run_id')::regclass)"
    return int(made.value(f"select coalesce({last}, 0) + 1"))


def is_waiting(made: Checkout, name: str = "airworthy main") -> bool:
    """Whether a session of that name waits for another one's lock."""
    return bool(made.query(
        "select from pg_stat_activity where wait_event_type = 'Lock'"
        " and application_name = %s and datname = current_database()", name
    ))  # fmt: skip


def quiet(made: Checkout) -> None:
    """Wait until the server has noticed that killed processes are gone."""
    query = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and backend_type = 'client backend' and pid <> pg_backend_pid()"
    )
    with made.connect() as connection:
        until(lambda: connection.execute(query).fetchone() == (0,))


def kill_at(made: Checkout, place: AbstractContextManager[Point], *command: str) -> None:
    """Start a command and kill it there."""
    with place as point:
        process = made.start(*command)
        point.reached(process)
        process.kill()
    quiet(made)


def await_while_running(condition: object, *alive: Process) -> None:
    """Wait for a condition that these processes bring about."""
    assert callable(condition)

    def is_met() -> bool:
        if condition():
            return True
        for process in alive:
            assert not process.has_ended() or condition(), f"it ended too early:\n{process.said}"
        return False

    until(is_met, every=0.005, otherwise=lambda: [process.said for process in alive])


def _hold(connection: Connection, number: int) -> Point:
    connection.execute("select pg_advisory_lock(%s, %s)", [_KEY, number])
    return Point(connection, number)
