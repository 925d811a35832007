"""Readers of the published marts while publications go by."""

from __future__ import annotations

import psycopg

from benchmarks import readers
from orchestration import database
from orchestration.settings import Settings


def test_a_thousand_publications_disturb_nobody(empty_warehouse: Settings) -> None:
    dsn = database.dsn(database.address(empty_warehouse))
    with psycopg.connect(dsn, autocommit=True) as connection:
        readers.set_up(connection)
    seen = readers.play(dsn, "published", readers.publish, 1000, 100_000)
    assert seen.publications >= 1000
    assert seen.probes >= 100_000
    assert (seen.errors, seen.torn, seen.waits) == ({}, 0, 0)


def test_what_others_do_is_noticed(empty_warehouse: Settings) -> None:
    """The same readers see torn or failed reads when tables are replaced one by one."""
    dsn = database.dsn(database.address(empty_warehouse))
    with psycopg.connect(dsn, autocommit=True) as connection:
        readers.set_up(connection)
        connection.execute("create schema tables")
        for mart in readers.MARTS:
            connection.execute(f"create table tables.{mart} as select * from candidate.{mart}")
    seen = readers.play(dsn, "tables", readers.rebuild_tables, 100, 2000)
    assert seen.torn + seen.errors.total() > 0
