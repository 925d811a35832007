"""Each step's role can do its step and nothing else."""

from __future__ import annotations

from datetime import date

import psycopg
import pytest

from orchestration import database
from orchestration.run import run
from orchestration.settings import Settings
from orchestration.warehouse_server import warehouse
from tests.flights import land_days

_PUBLISH = "select ops.publish(1, gen_random_uuid())"
_DENIED = {
    "loader": (
        "select * from published.fct_flights",
        "select * from candidate.fct_flights",
        "update ops.deliveries set outcome = 'loaded'",
        "delete from ops.deliveries",
        "insert into ops.verdicts values (1, true, '')",
        "update ops.runs set state = 'passed'",
        "drop table candidate.fct_flights",
        _PUBLISH,
    ),
    "transformer": (
        "insert into raw.flights select * from raw.flights",
        "delete from raw.flights",
        "select * from quarantine.flights",
        "select * from published.fct_flights",
        "delete from published.fct_flights",
        "insert into ops.verdicts values (1, true, '')",
        "insert into ops.deliveries select * from ops.deliveries",
        "insert into ops.publications default values",
        _PUBLISH,
    ),
    "auditor": (
        "update candidate.fct_flights set distance_miles = 0",
        "update published.fct_flights set distance_miles = 0",
        "select * from raw.flights",
        "delete from ops.build_results",
        "insert into ops.publications default values",
        _PUBLISH,
    ),
    "publisher": (
        "insert into published.dim_airlines values ('ZZ', 'Nobody')",
        "update published.fct_flights set distance_miles = 0",
        "delete from published.fct_flights",
        "truncate published.fct_flights",
        "drop table published.fct_flights",
        "delete from history.fct_flights",
        "select * from candidate.fct_flights",
        "insert into ops.verdicts values (1, true, '')",
        "update ops.verdicts set passed = true",
        "update ops.runs set state = 'passed'",
        "insert into ops.publications default values",
        "delete from ops.holds",
    ),
    "reader": (
        "update published.fct_flights set distance_miles = 0",
        "select * from candidate.fct_flights",
        "select * from raw.flights",
        "select * from quarantine.flights",
        "select * from history.fct_flights",
        "select * from ops.deliveries",
        "select * from ops.mart_descriptions",
        "create table published.mine (id integer)",
        _PUBLISH,
    ),
}


def test_every_role_is_denied_what_is_not_its_own(empty_warehouse: Settings) -> None:
    land_days(empty_warehouse, date(2013, 3, 9))
    with warehouse.ready(empty_warehouse) as connection:
        run(empty_warehouse, connection)
    with database.connect(empty_warehouse) as connection:
        for role, statements in _DENIED.items():
            connection.execute(f"set role airworthy_{role}")
            for statement in statements:
                with pytest.raises(psycopg.errors.InsufficientPrivilege) as denied:
                    connection.execute(statement)
                assert denied.value.sqlstate == "42501", statement
        connection.execute("set role airworthy_reader")
        row = connection.execute("select count(*) from published.fct_flights").fetchone()
        assert row == (765,)
        row = connection.execute("select count(*) from published._catalog").fetchone()
        assert row == (11,)
        connection.execute("set role airworthy_publisher")
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(_PUBLISH)
        assert refused.value.sqlstate == "AWRUN", "it may call, and is told no"


def test_steps_give_their_role_back(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    land_days(empty_warehouse, date(2013, 3, 9))
    run(empty_warehouse, connection)
    assert connection.execute("show role").fetchone() == ("none",)
    owners = connection.execute(
        "select distinct schemaname, tableowner from pg_tables where schemaname in"
        " ('raw', 'candidate', 'seeds') order by 1"
    ).fetchall()
    assert owners == [
        ("candidate", "airworthy_transformer"), ("raw", "airworthy_loader"),
        ("seeds", "airworthy_transformer"),
    ]  # fmt: skip
