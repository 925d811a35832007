"""Which models a run rebuilds, over which partitions, and what they make of odd data."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from orchestration import database
from orchestration.building.build import environment, parse
from orchestration.building.document import document
from orchestration.building.state import write as write_state
from orchestration.errors import GateBlocked
from orchestration.planning.plan import due, plan
from orchestration.settings import Settings, environment_with
from orchestration.show import show_works
from orchestration.warehouse_server import warehouse
from tests import warehouses
from tests.flights import HEADER, land_days, landed, lines_of, row, write
from tests.steps import copy_project, go, query
from tests.warehouses import Kept

DAY = date(2013, 3, 9)
Edit = Callable[[str, str, str], None]


@pytest.fixture
def given(empty_warehouse: Settings, tmp_path: Path) -> Settings:
    """An empty warehouse, and a copy of the project that a test may change."""
    return replace(empty_warehouse, project=copy_project(tmp_path / "project"))


@pytest.fixture
def edit(given: Settings) -> Edit:
    """Call it with a file, a text in it, and what to put in its place."""

    def change(path: str, old: str, new: str) -> None:
        text = (given.project / path).read_text()
        assert old in text
        (given.project / path).write_text(text.replace(old, new))

    return change


def built(given: Settings) -> set[object]:
    """The models and seeds of the newest run."""
    rows = query(
        given,
        "select name from ops.run_nodes where resource_type <> 'test'"
        " and run_id = (select max(run_id) from ops.runs)",
    )
    return {name for (name,) in rows}


def test_late_weather_rebuilds_exactly_what_it_touches(given: Settings) -> None:
    land_days(given, DAY, 3)
    late = landed(given, "weather", DAY)
    content = lines_of(late)
    late.unlink()
    go(given)
    hours = "select count(*) from published.agg_departures_hourly where visibility_miles is null"
    assert query(given, hours) > [(40,)], "a date without weather keeps its rows"
    write(late, content)
    outcome = go(given)
    assert outcome.publication
    changed = {c.mart: (c.inserted, c.updated, c.deleted) for c in outcome.publication.changes}
    assert changed["fct_weather_observations"] == (72, 0, 0)
    flights = query(
        given, f"select count(*) from published.fct_flights where flight_date = '{DAY}'"
    )
    assert [changed["fct_flights"]] == [(0, flights[0][0], 0)]
    assert changed["agg_airlines_daily"] == (0, 0, 0), "it holds no weather"
    partitions = query(
        given,
        "select model, array_agg(partition_date order by partition_date) from ops.run_partitions"
        " where run_id = 2 group by model",
    )
    the_day = (
        "stg_weather__observations", "fct_weather_observations", "fct_flights",
        "agg_departures_hourly", "agg_airlines_daily",
    )  # fmt: skip
    assert {str(model): dates for model, dates in partitions} == {
        **{model: [DAY] for model in the_day},
        "agg_routes_monthly": [DAY.replace(day=1)],
        "agg_airlines_rolling_28_days": [DAY + timedelta(n) for n in range(29)],
    }
    assert built(given) == {
        "fct_weather_observations", "fct_flights", "agg_departures_hourly", "agg_airlines_daily",
        "agg_routes_monthly", "agg_airlines_rolling_28_days",
    }  # fmt: skip


class TestChangedCode:
    """One warehouse with one day published, and a project that changes."""

    @pytest.fixture(scope="class")
    def one_day(self, embedded_server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Kept:
        given = warehouses.new(embedded_server, tmp_path_factory.mktemp("one_day"))
        land_days(given, DAY)
        go(given)
        return Kept(given, embedded_server)

    @pytest.fixture
    def given(self, one_day: Kept, tmp_path: Path) -> Settings:
        project = copy_project(tmp_path / "project")
        return replace(one_day.copy(tmp_path), project=project)

    def test_a_comment_rebuilds_nothing_and_is_looked_at_once(
        self, given: Settings, edit: Edit
    ) -> None:
        edit("models/marts/flights/fct_flights.sql", "with\n", "-- a comment\n\nwith\n")
        edit("models/marts/flights/fct_flights.yml", "Flight number.", "The number of the flight.")
        assert go(given).publication is None
        assert query(given, "select state from ops.runs order by run_id") == [
            ("published",), ("skipped",)
        ]  # fmt: skip
        with warehouse.ready(given) as connection:
            assert due(given, connection) is None

    def test_a_model_a_macro_and_a_seed_rebuild_what_hangs_on_them(
        self, given: Settings, edit: Edit, capsys: pytest.CaptureFixture[str]
    ) -> None:
        edit("models/marts/flights/agg_airlines_daily.sql", "        airline_id,\n\n",
             "        upper(airline_id) as airline_id,\n\n")  # fmt: skip
        go(given)
        assert built(given) == {"agg_airlines_daily", "agg_airlines_rolling_28_days"}
        edit("macros/measures/divide.sql", ", 6)", ", 3)")
        go(given)
        assert built(given) == {"agg_airlines_rolling_28_days"}
        edit("seeds/airports_added.csv", "Luis Munoz Marin", "Luis Muñoz Marín")
        with warehouse.ready(given) as connection:
            reason = due(given, connection)
            assert reason
            show_works(plan(given, connection, reason, parse(given)).works)
        shown = capsys.readouterr().out
        assert "airports_added                everything  its content changed" in shown
        assert "dim_airports                  everything  int_airports_unioned changed" in shown
        assert "dim_airlines                  nothing     nothing it reads changed" in shown

    def test_a_new_test_runs_without_a_rebuild_and_blocks_if_it_fails(
        self, given: Settings
    ) -> None:
        path = given.project / "tests/data_tests/singular/assert_nobody_flies.sql"
        path.write_text("select flight_id from {{ ref('fct_flights') }}\n")
        with pytest.raises(GateBlocked, match="assert_nobody_flies: test ran: fail"):
            go(given)
        assert built(given) == set()
        path.write_text("select flight_id from {{ ref('fct_flights') }} where false\n")
        outcome = go(given)
        assert outcome.publication
        assert outcome.publication.changes == ()
        assert go(given).publication is None

    def test_a_model_that_breaks_its_contract_publishes_nothing(
        self, given: Settings, edit: Edit
    ) -> None:
        edit("models/marts/flights/dim_airlines.sql", "airline_name\n", "17 as airline_name\n")
        with pytest.raises(GateBlocked, match="dim_airlines: model ran: error") as blocked:
            go(given)
        assert "enforced contract" in str(blocked.value)
        assert query(given, "select count(*) from published.dim_airlines") == [(16,)]

    def test_over_budget_is_a_warning(
        self, given: Settings, edit: Edit, capsys: pytest.CaptureFixture[str]
    ) -> None:
        edit("models/marts/flights/fct_flights.yml", "rows: 500000", "rows: 700")
        edit("models/marts/flights/fct_flights.sql", ">= 15", ">= 16")
        assert go(given).publication
        assert "for 765 rows; its budget is 30 s and 700 rows" in capsys.readouterr().out


def test_odd_data_loses_no_row(given: Settings) -> None:
    land_days(given, DAY)
    day = date(2013, 1, 1)
    odd = [
        row(flight=1, tailnum="NOBODY"),
        row(flight=2, tailnum="NA"),
        row(flight=3, dest="EEN"),  # the airports list has no time zone for Keene
        row(flight=4, dep_time="NA", dep_delay="NA", arr_time="NA", arr_delay="NA", air_time="NA"),
    ]
    write(landed(given, "flights", day), [HEADER, *odd])
    go(given)
    columns = "flight_number, aircraft_id, arrived_at is null, departure_observation_id is null"
    rows = f"select {columns} from published.fct_flights where flight_date = '{day}' order by 1"
    assert query(given, rows) == [
        (1, "NOBODY", False, True), (2, None, False, True),
        (3, "N14228", True, True), (4, "N14228", True, True),
    ]  # fmt: skip
    loaded = query(given, "select sum(rows_loaded) from ops.deliveries where source = 'flights'")
    assert query(given, "select count(*) from published.fct_flights") == loaded
    window = f"from published.agg_airlines_rolling_28_days where flight_date = '{day}'"
    assert query(given, f"select flight_count, on_time_rate {window}") == [(0, None)]


def test_the_planner_knows_how_much_was_loaded(given: Settings) -> None:
    land_days(given, DAY, 3)
    go(given)
    sizes = "select reltuples::int from pg_class where oid = 'raw.flights'::regclass"
    assert query(given, sizes) == query(given, "select count(*)::int from raw.flights")


def test_an_analyst_builds_only_what_she_changed_and_reads_the_rest_from_published(
    given: Settings, edit: Edit
) -> None:
    land_days(given, DAY)
    go(given)
    with database.connect(given) as connection:
        folder = write_state(given, connection)

    def dbt(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dbt.cli.main", *arguments], cwd=given.project, text=True,
            env=environment_with(environment(given, None)), capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    changed = ("--select", "state:modified+", "--state", str(folder))
    assert "No nodes selected" in dbt("ls", *changed)
    edit("models/marts/flights/agg_routes_monthly.sql", "with\n\nflights", "with\n\n\nflights")
    dbt("build", *changed, "--defer")
    tables = query(given, "select tablename from pg_tables where schemaname like 'dev_tester%'")
    assert tables == [("agg_routes_monthly",)]
    log = (given.project / "logs/dbt.log").read_text()
    assert '"published"."fct_flights"' in log
    assert "PASS freshness of flights.flights" in dbt("source", "freshness")


def test_the_documentation_is_one_page_that_needs_no_network(given: Settings) -> None:
    land_days(given, DAY)
    go(given)
    with database.connect(given) as connection:
        page = document(given, connection).read_text()
    assert "agg_airlines_rolling_28_days" in page
    assert "flight-analytics@example.com" in page
    assert '<script src="http' not in page
    for word in ("As it is published", "rows up to 20", "Readers see publication 1 of"):
        assert word in page
