"""A run publishes what changed, all of it and nothing else, or nothing."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.pipeline.conftest import Another
from tests.support import checkout, files
from tests.support.checkout import Checkout
from tests.support.files import DAY
from tests.support.histories import DAYS

HOURS = 3 * 24  # readings of a date


def test_new_days_are_published_and_a_second_run_changes_nothing(empty: Checkout) -> None:
    empty.list_stations()
    empty.land(DAY, DAY + timedelta(1))
    empty.call("run")
    assert empty.changes()["fct_readings"] == (2 * HOURS, 0, 0)
    assert counted(empty)["fct_readings"] == 2 * HOURS, "the planner knows what was just built"
    assert min(counted(empty).values()) > 0
    before = empty.digests()
    rows = empty.query("select xmin, ctid, * from published.fct_readings")
    assert empty.has_nothing_to_do()
    assert empty.publications == 1
    assert empty.query("select xmin, ctid, * from published.fct_readings") == rows
    assert empty.digests() == before


def counted(made: Checkout) -> dict[str, int]:
    """How many rows the database expects in each table of the candidate; -1 if it never counted."""
    return dict(
        made.query(
            "select relname, reltuples::int from pg_class"
            " where relnamespace = 'candidate'::regnamespace and relkind = 'r'"
        )
    )


def test_a_day_is_counted_before_anything_reads_it(published: Checkout) -> None:
    made = published
    made.land(DAY + timedelta(2))
    for step in ("ingest", "plan", "build"):
        made.call(step)
    assert counted(made)["fct_readings"] == 3 * HOURS


def test_a_corrected_day_changes_only_the_rows_that_differ(wide: Checkout) -> None:
    day = DAYS[1]
    header, *rows = files.lines_of(wide.deliver(_landed(wide, day), day))
    wet, gone = rows[4], rows[5]
    assert wet.startswith("BBB")
    assert gone.startswith("CCC")
    rain = f",{wet.split(',')[5]},ada"
    unchanged = f"select xmin, * from published.fct_readings where reading_date <> '{day}'"
    before = wide.query(unchanged)
    kept = [row.replace(rain, ",499,ada") if row == wet else row for row in rows if row != gone]
    wide.deliver([header, *kept], day)
    wide.call("run")
    of_two = ("agg_stations_daily", "agg_stations_monthly", "agg_stations_rolling",
              "agg_floods_daily")  # fmt: skip
    assert wide.changes() == {"fct_readings": (0, 1, 1), **dict.fromkeys(of_two, (0, 2, 0))}
    assert sorted(wide.query(unchanged)) == sorted(before)
    assert wide.query(
        "select _change, before.rain_millimetres from history.fct_readings as before"
        " inner join published.fct_readings as now using (reading_id)"
        " where _publication_id = 2 and now.rain_millimetres = 499"
    ) == [("update", int(rain.split(",")[1]))], "the pre-image is kept"  # fmt: skip


def _landed(made: Checkout, day: date) -> list[str]:
    return files.lines_of(made.path("readings", day))


def test_late_cut_and_corrected_or_at_once_the_marts_are_the_same(
    published: Checkout, another: Another
) -> None:
    late = DAY - timedelta(1)
    published.deliver(files.readings(late)[:40], late)
    published.call("run")
    published.land(late)
    published.call("run")
    at_once = another("empty")
    at_once.list_stations()
    at_once.land(late, DAY, DAY + timedelta(1))
    at_once.call("run")
    assert at_once.digests() == published.digests()


def test_a_withdrawn_day_ends_empty(published: Checkout, another: Another) -> None:
    number = published.value("select delivery_id from ops.deliveries where uri ~ '2013-03-09'")
    published.call("withdraw", "--delivery", str(number), "--reason", "a test")
    published.call("run")
    assert published.changes() == {
        "fct_readings": (0, 0, HOURS), "agg_stations_daily": (0, 0, 3)
    }  # fmt: skip
    assert published.has_nothing_to_do()
    without = another("empty")
    without.list_stations()
    without.land(DAY + timedelta(1))
    without.call("run")
    assert published.digests() == without.digests()


@pytest.mark.needs("postgresql")
def test_debians_postgresql_gives_the_same_marts(
    published_flights: Checkout, on_debian: Checkout
) -> None:
    url = on_debian.variables["WAREHOUSE_URL"]
    other = Checkout(on_debian.folder / "flights", {"WAREHOUSE_URL": url})
    checkout.make_real_project(other.project)
    other.land_flights(DAY, 3)
    other.call("run")
    assert other.has_nothing_to_do()
    assert other.digests() == published_flights.digests()


@pytest.mark.needs("postgresql")
def test_each_way_to_name_a_warehouse_leads_there(on_debian: Checkout) -> None:
    parts = conninfo_to_dict(on_debian.variables["WAREHOUSE_URL"])
    url = {name: str(value) for name, value in parts.items()}
    password = url.pop("password")
    passfile = on_debian.folder / "passfile"
    passfile.write_text(f"*:*:*:*:{password}\n")
    passfile.chmod(0o600)
    service = on_debian.folder / "services"
    service.write_text("[w]\n" + "".join(f"{name}={value}\n" for name, value in url.items()))
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
    usual = {names[name]: str(value) for name, value in url.items()}
    secret = {"PGPASSFILE": str(passfile)}
    ways = [
        usual | secret,
        usual | {"PGPASSWORD": str(password)},
        {"WAREHOUSE_URL": make_conninfo(**url)} | secret,
        {"WAREHOUSE_URL": f"host={url['host']} user={url['user']}"} | usual | secret,
        {"PGSERVICE": "w", "PGSERVICEFILE": str(service)} | secret,
    ]
    on_debian.list_stations()
    for n, way in enumerate(ways):
        made = Checkout(on_debian.folder, way)
        made.land(DAY + timedelta(n))
        made.call("run")
    made = Checkout(on_debian.folder)
    lines = (f"{name}={value}\n" for name, value in ways[0].items())
    (made.project / ".env").write_text("".join(lines))
    made.land(DAY + timedelta(len(ways)))
    made.call("run")
    assert on_debian.publications == len(ways) + 1


def test_a_blocked_gate_publishes_nothing_and_the_mended_file_goes_through(
    published: Checkout,
) -> None:
    before = published.digests()
    bad = date(2013, 1, 1)
    rows = [files.reading(bad, hour) for hour in range(1, 20)]
    published.deliver([files.HEADER, *rows, files.reading(bad, temperature=61)], bad)
    said = published.call("run", code=3)
    assert "expect_column_values_to_be_between(temperature_degrees)" in said
    assert "AAA-2013-01-01T00Z = 61" in said
    assert "partitions: 2013-01-01 (" in said
    number = published.value("select max(delivery_id) from ops.deliveries")
    assert f"owner: climate; these came with delivery {number}; `make withdraw`" in said
    assert "runbooks/gate-blocked-publish.md" in said
    assert published.digests() == before
    assert "temperature_degrees" in published.call("run", code=3)
    published.deliver([files.HEADER, *rows, files.reading(bad)], bad)
    published.call("run")
    assert published.changes()["fct_readings"] == (20, 0, 0)


def test_a_failing_dbt_test_blocks(empty: Checkout) -> None:
    empty.list_stations(files.LIST[:-1])
    empty.land(DAY)
    said = empty.call("run", code=3)
    assert "relationships_fct_readings_station_id" in said
    assert empty.digests() == {}


def test_a_warning_about_many_dates_without_rows_says_so_and_names_whole_dates(
    published: Checkout,
) -> None:
    made = published
    path = made.project / "expectations/fct_readings.json"
    suite = json.loads(path.read_text())
    for kind in ("mean", "sum", "max"):
        suite["expectations"].append({
            "type": f"expect_column_{kind}_to_be_between", "severity": "warning",
            "kwargs": {"column": "temperature_degrees", "min_value": 1},
        })  # fmt: skip
    path.write_text(json.dumps(suite))
    days = [DAY + timedelta(2 * n) for n in range(10, 22)]
    made.land(*days)
    made.call("run")
    for (number,) in made.query(
        "select delivery_id from ops.deliveries where source = 'readings' and slice_date >= %s",
        days[0],
    ):
        made.call("withdraw", "--delivery", str(number), "--reason", "a test")
    said = " ".join(made.call("run", COLUMNS="1000").split())
    assert said.count("zero rows, expected min_value 1") == 3, said
    named = ", ".join(map(str, days[:5]))
    assert f"partitions: {named} and 7 more;" in said
