"""Readers who began before a publication, and what gc leaves them."""

from __future__ import annotations

import psycopg
from psycopg import IsolationLevel

from orchestration import database
from tests.faults.world import DAILY, FACTS, RETAIN_ONE, World

_EVERYTHING = (
    f"select (select digest from ops.digest_of('published.{FACTS}')),"
    f" (select digest from ops.digest_of('published.{DAILY}'))"
)


def test_readers_who_began_before_a_publication_and_gc_are_not_disturbed(world: World) -> None:
    with world.connect() as frozen, world.connect() as slow:
        frozen.isolation_level = IsolationLevel.REPEATABLE_READ
        frozen.autocommit = slow.autocommit = False
        seen = frozen.execute(_EVERYTHING).fetchone()
        with slow.cursor("half_read") as half_read:
            half_read.execute(f"select observation_id from published.{FACTS}")
            first = half_read.fetchmany(10)
            # They lock what they read for as long as they like; nobody waits for them.
            said = world.call("run")
            world.call("gc", variables=RETAIN_ONE)
            rows = [*first, *half_read.fetchall()]
        assert "publication 3" in said
        assert len(rows) == world.before[FACTS][0]
        assert frozen.execute(_EVERYTHING).fetchone() == seen
        frozen.commit()
        assert frozen.execute(_EVERYTHING).fetchone() != seen
        frozen.commit()
    assert world.query("select count(*) from ops.publications where is_retained") == [(1,)]
    assert world.digests() == world.after


def test_a_new_column_waits_for_a_long_reader_and_nobody_waits_for_the_column(
    world: World,
) -> None:
    for step in ("ingest", "plan", "build"):
        world.call(step)
    with world.connect() as connection:
        connection.execute(f"alter table candidate.{DAILY} add column note text")
    world.call("gate")
    with world.connect() as long, world.connect() as quick:
        long.autocommit = False
        long.execute(f"select from published.{DAILY}")
        publishing = world.start("publish")
        quick.execute("set statement_timeout = '1s'")
        wanted = (
            f"select from pg_locks where not granted and relation = 'published.{DAILY}'::regclass"
        )
        for _ in range(3):
            world.until(lambda: quick.execute(wanted).fetchone() is not None, publishing)
            quick.execute(f"select from published.{DAILY}")
        long.rollback()
        assert publishing.wait() == 0, publishing.said
    assert world.query(f"select count(note) from published.{DAILY}") == [(0,)]
    assert world.digests()[FACTS] == world.after[FACTS]


def test_a_publish_that_a_deadlock_ends_changed_nothing_and_is_done_again(world: World) -> None:
    for step in ("ingest", "plan", "build", "gate"):
        world.call(step)
    with world.connect() as other:
        other.autocommit = False
        other.execute("set deadlock_timeout = '60s'")  # so that publish is the one to give way
        lock(other, FACTS)
        publishing = world.start("publish")
        world.until(lambda: world.is_waiting("airworthy main"), publishing)
        lock(other, DAILY)
        assert publishing.wait() == 1
        assert "deadlock detected" in publishing.said
        assert "Traceback" not in publishing.said
        other.rollback()
    assert world.digests() == world.before
    world.call("publish")
    assert world.digests() == world.after
    world.require_rerun_converges()


def lock(connection: database.Connection, mart: str) -> None:
    try:
        connection.execute(f"select from published.{mart} for update")
    except psycopg.errors.DeadlockDetected as error:
        raise AssertionError("the wrong one gave way") from error
