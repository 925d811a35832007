"""Readers of the published marts while publications go by."""

from __future__ import annotations

import os

import pytest

from benchmarks import readers
from tests.support.checkout import Checkout

# With 1000, a hundred thousand probes go with them: the campaign.
_PUBLICATIONS = int(os.environ.get("AIRWORTHY_PUBLICATIONS", "200"))
_PROBES = _PUBLICATIONS * (100 if _PUBLICATIONS >= 1000 else 50)


@pytest.fixture
def dsn(empty: Checkout) -> str:
    """Where five marts are published once."""
    with empty.connect() as connection:
        readers.set_up(connection)
    return empty.variables["WAREHOUSE_URL"]


def test_publications_disturb_no_reader(dsn: str) -> None:
    """Not one of theirs meets an error, rows of two publications, or a lock that it waits for."""
    seen = readers.play(dsn, "published", readers.publish, _PUBLICATIONS, _PROBES, thinks=0.005)
    assert seen.publications >= _PUBLICATIONS
    assert seen.probes >= _PROBES
    assert (seen.errors, seen.torn, seen.waits) == ({}, 0, 0)


def test_what_others_do_is_noticed(empty: Checkout, dsn: str) -> None:
    """The same readers see torn or failed reads when tables are replaced one by one."""
    with empty.connect() as connection:
        connection.execute("create schema tables")
        for mart in readers.MARTS:
            connection.execute(f"create table tables.{mart} as select * from candidate.{mart}")
    seen = readers.play(dsn, "tables", readers.rebuild_tables, 20, 200)
    assert seen.torn + seen.errors.total() > 0
