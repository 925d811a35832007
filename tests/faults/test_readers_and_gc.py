"""Readers who began before a publication, and what gc leaves them."""

from __future__ import annotations

import psycopg
from psycopg import IsolationLevel

from tests.faults.converge import after, before, require_rerun_converges
from tests.support.checkout import Checkout, Connection
from tests.support.points import DAILY, FACTS, await_while_running, is_waiting

_EVERYTHING = (
    f"select (select digest from ops.digest_of('published.{FACTS}')),"
    f" (select digest from ops.digest_of('published.{DAILY}'))"
)
_WANTED = (
    f"select from pg_locks where not granted and relation = 'published.{DAILY}'::regclass"
    " and database = (select oid from pg_database where datname = current_database())"
)


def test_readers_who_began_before_a_publication_and_gc_are_not_disturbed(due: Checkout) -> None:
    with due.connect() as frozen, due.connect() as slow:
        frozen.isolation_level = IsolationLevel.REPEATABLE_READ
        frozen.autocommit = slow.autocommit = False
        seen = frozen.execute(_EVERYTHING).fetchone()
        with slow.cursor("half_read") as half_read:
            half_read.execute(f"select reading_id from published.{FACTS}")
            first = half_read.fetchmany(10)
            # They lock what they read for as long as they like; nobody waits for them.
            said = due.call("run")
            due.call("gc", RETAIN_PUBLICATIONS="1", RETAIN_DAYS="0")
            rows = [*first, *half_read.fetchall()]
        assert "publication 3" in said
        assert len(rows) == before()[FACTS][0]
        assert frozen.execute(_EVERYTHING).fetchone() == seen
        frozen.commit()
        assert frozen.execute(_EVERYTHING).fetchone() != seen
        frozen.commit()
    assert due.value("select count(*) from ops.publications where is_retained") == 1
    assert due.digests() == after()


def test_a_new_column_waits_for_a_long_reader_and_nobody_waits_for_the_column(
    due: Checkout,
) -> None:
    for step in ("ingest", "plan", "build"):
        due.call(step)
    due.execute(f"alter table candidate.{DAILY} add column note text")
    due.call("gate")
    with due.connect() as long, due.connect() as quick:
        long.autocommit = False
        long.execute(f"select from published.{DAILY}")
        publishing = due.start("publish")
        # Much longer than publish tries at a time, and much shorter than the long one reads.
        quick.execute("set statement_timeout = '10s'")
        for _ in range(3):
            await_while_running(lambda: quick.execute(_WANTED).fetchone() is not None, publishing)
            quick.execute(f"select from published.{DAILY}")
        long.rollback()
        assert publishing.wait() == 0, publishing.said
    assert due.query(f"select count(note) from published.{DAILY}") == [(0,)]
    assert due.digests()[FACTS] == after()[FACTS]


def test_a_publish_that_a_deadlock_ends_changed_nothing_and_is_done_again(due: Checkout) -> None:
    for step in ("ingest", "plan", "build", "gate"):
        due.call(step)
    with due.connect() as other:
        other.autocommit = False
        other.execute("set deadlock_timeout = '60s'")  # so that publish is the one to give way
        _lock(other, FACTS)
        publishing = due.start("publish")
        await_while_running(lambda: is_waiting(due), publishing)
        _lock(other, DAILY)
        assert publishing.wait() == 1
        assert "deadlock detected" in publishing.said
        assert "Traceback" not in publishing.said
        other.rollback()
    assert due.digests() == before()
    due.call("publish")
    assert due.digests() == after()
    require_rerun_converges(due)


def _lock(connection: Connection, mart: str) -> None:
    try:
        connection.execute(f"select from published.{mart} for update")
    except psycopg.errors.DeadlockDetected as error:
        raise AssertionError("the wrong one gave way") from error
