"""What the gate finds by comparing the candidate with what is published."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from orchestration import database
from orchestration.auditing.gate import gate
from orchestration.building.build import build, parse
from orchestration.errors import GateBlocked
from orchestration.ingesting.ingest import ingest
from orchestration.planning import plan
from orchestration.settings import Settings
from tests import warehouses
from tests.flights import land_days, landed, lines_of, write
from tests.steps import go, query
from tests.warehouses import Kept

FIRST, DAYS = date(2013, 1, 7), 35
NEW = FIRST + timedelta(DAYS)


@pytest.fixture(scope="module")
def five_weeks(embedded_server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    given = warehouses.new(embedded_server, tmp_path_factory.mktemp("five_weeks"))
    land_days(given, FIRST, DAYS)
    go(given)
    return Kept(given, embedded_server)


@pytest.fixture
def given(five_weeks: Kept, tmp_path: Path) -> Settings:
    """Five weeks are published."""
    return five_weeks.copy(tmp_path)


def test_a_new_day_is_compared_with_what_is_published(given: Settings) -> None:
    nothing_yet = "select count(*) from ops.gate_results where observed like 'not compared%'"
    assert query(given, nothing_yet) != [(0,)], "the first run has nothing to compare with"
    land_days(given, NEW, planes=False)
    whole = lines_of(landed(given, "flights", NEW))

    write(landed(given, "flights", NEW), whole[:200])
    with pytest.raises(GateBlocked) as cut_short:
        go(given)
    assert "fct_flights: volume is possible for the weekday" in str(cut_short.value)
    assert f"partition_date {NEW}, found_rows 199, usual_rows" in str(cut_short.value)

    write(landed(given, "flights", NEW), [line for line in whole if ",JFK," not in line])
    with pytest.raises(GateBlocked, match=r"kl_divergence_to_be_less_than\(origin_airport_id\)"):
        go(given)

    write(landed(given, "flights", NEW), whole)
    assert go(given).publication
    assert query(
        given, "select count(*) from ops.gate_results where observed like 'not compared%'"
        " and run_id = (select max(run_id) from ops.runs)",
    ) == [(0,)]  # fmt: skip


def test_a_delivered_day_that_the_candidate_lost_blocks(given: Settings) -> None:
    land_days(given, NEW, planes=False)
    with database.connect(given) as connection:
        ingest(given, connection)
        reason = plan.due(given, connection)
        assert reason
        this = plan.plan(given, connection, reason, parse(given)).run
        assert this
        build(given, connection, this)
        connection.execute("delete from candidate.fct_flights where flight_date = %s", [NEW])
        blocking = {check.name: check.samples for check in gate(given, connection, this).blocking}
    (lost,) = blocking["every delivered day is there"]
    assert lost.startswith(f"slice_date {NEW}, delivery_id")
    assert "flights per date are those of fct_flights" in blocking
