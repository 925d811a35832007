"""Each step's role can do its step and nothing else."""

from __future__ import annotations

from datetime import date
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.checkout import Checkout
from tests.support.wire import Wire

_PUBLISH = "select ops.publish(1, gen_random_uuid())"
_DENIED = {
    "loader": (
        "select * from published.fct_readings",
        "select * from candidate.fct_readings",
        "update ops.deliveries set outcome = 'loaded'",
        "delete from ops.deliveries",
        "insert into ops.verdicts values (1, true, '')",
        "update ops.runs set state = 'passed'",
        "drop table candidate.fct_readings",
        _PUBLISH,
    ),
    "transformer": (
        "insert into raw.readings select * from raw.readings",
        "delete from raw.readings",
        "select * from quarantine.readings",
        "select * from published.fct_readings",
        "delete from published.fct_readings",
        "insert into ops.verdicts values (1, true, '')",
        "insert into ops.deliveries select * from ops.deliveries",
        "insert into ops.publications default values",
        _PUBLISH,
    ),
    "auditor": (
        "update candidate.fct_readings set rain_millimetres = 0",
        "update published.fct_readings set rain_millimetres = 0",
        "select * from raw.readings",
        "delete from ops.build_results",
        "insert into ops.publications default values",
        _PUBLISH,
    ),
    "publisher": (
        "insert into published.dim_stations values ('ZZZ', 'Nowhere')",
        "update published.fct_readings set rain_millimetres = 0",
        "delete from published.fct_readings",
        "truncate published.fct_readings",
        "drop table published.fct_readings",
        "delete from history.fct_readings",
        "select * from candidate.fct_readings",
        "insert into ops.verdicts values (1, true, '')",
        "update ops.verdicts set passed = true",
        "update ops.runs set state = 'passed'",
        "insert into ops.publications default values",
        "delete from ops.holds",
    ),
    "reader": (
        "update published.fct_readings set rain_millimetres = 0",
        "select * from candidate.fct_readings",
        "select * from raw.readings",
        "select * from quarantine.readings",
        "select * from history.fct_readings",
        "select * from ops.deliveries",
        "select * from ops.mart_descriptions",
        "create table published.mine (id integer)",
        _PUBLISH,
    ),
}


def test_every_role_is_denied_what_is_not_its_own(published: Checkout) -> None:
    for role, statements in _DENIED.items():
        with published.connect(role=role) as connection:
            for statement in statements:
                with pytest.raises(psycopg.errors.InsufficientPrivilege) as denied:
                    connection.execute(statement)
                assert denied.value.sqlstate == "42501", statement
    with published.connect(role="reader") as reader:
        for relation, rows in (("fct_readings", 144), ("_catalog", 3)):
            counted = reader.execute(f"select count(*) from published.{relation}").fetchone()
            assert counted == (rows,)
    with published.connect(role="publisher") as publisher:
        with pytest.raises(psycopg.Error) as refused:
            publisher.execute(_PUBLISH)
        assert refused.value.sqlstate == "AWRUN", "it may call, and is told no"


def test_steps_give_their_role_back(published: Checkout) -> None:
    """On the wire each step takes its role, and is without one before the next takes another."""
    published.land(date(2013, 3, 11))
    url = published.variables["WAREHOUSE_URL"]
    port = urlsplit(url).port
    assert port
    wire = Wire(port)
    published.call("run", WAREHOUSE_URL=url.replace(f":{port}/", f":{wire.port}/"))
    wire.close()
    changes = [text for text in wire.operations if text.startswith(("set role", "reset role"))]
    steps = ("loader", "transformer", "transformer", "auditor", "publisher", "auditor")
    taken = [f'set role "airworthy_{role}"' for role in steps]
    assert changes[::2] == taken, "ingest, plan, build, gate, publish, lineage"
    assert changes[1::2] == ["reset role"] * len(steps)
    owners = published.query(
        "select distinct schemaname, tableowner from pg_tables where schemaname in"
        " ('raw', 'candidate', 'seeds') order by 1"
    )
    assert owners == [
        ("candidate", "airworthy_transformer"), ("raw", "airworthy_loader"),
        ("seeds", "airworthy_transformer"),
    ]  # fmt: skip
