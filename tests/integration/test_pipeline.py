from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import psycopg
import pytest

from orchestration import database, runs
from orchestration.auditing import auditor, gate
from orchestration.building.build import build, parse
from orchestration.errors import AirworthyError, GateBlocked, StaleRun, WarehouseBusy
from orchestration.ingesting.ingest import ingest
from orchestration.ingesting.replay import withdraw
from orchestration.planning import plan
from orchestration.publishing import publish
from orchestration.run import Outcome
from orchestration.runs import Run
from orchestration.settings import Settings, environment_with
from orchestration.warehouse_server import warehouse
from tests.conftest import PROJECT, NewWarehouse
from tests.flights import HEADER, land_days, landed, lines_of, row, write
from tests.steps import copy_project, digests, go, query

DAY = date(2013, 3, 9)  # the night after it, the clocks go forward


def changes(outcome: Outcome) -> dict[str, tuple[int, int, int]]:
    assert outcome.publication
    counts = {c.mart: (c.inserted, c.updated, c.deleted) for c in outcome.publication.changes}
    return {mart: count for mart, count in counts.items() if any(count)}


def test_a_new_day_is_published_and_a_second_run_changes_nothing(
    empty_warehouse: Settings,
) -> None:
    land_days(empty_warehouse, DAY, 2)
    first = go(empty_warehouse)
    assert changes(first)["fct_flights"] == (765 + 908, 0, 0)
    before = digests(empty_warehouse)
    rows = query(empty_warehouse, "select xmin, ctid, * from published.fct_flights")
    ledger = query(empty_warehouse, "select count(*) from ops.runs")
    assert go(empty_warehouse).publication is None
    assert query(empty_warehouse, "select xmin, ctid, * from published.fct_flights") == rows
    assert query(empty_warehouse, "select count(*) from ops.runs") == ledger
    assert digests(empty_warehouse) == before


def test_a_corrected_day_changes_only_the_rows_that_differ(empty_warehouse: Settings) -> None:
    land_days(empty_warehouse, DAY, 2)
    go(empty_warehouse)
    unchanged = "select flight_id, xmin from published.fct_flights where flight_number <> 35"
    before = query(empty_warehouse, unchanged)
    path = landed(empty_warehouse, "flights", DAY)
    header, *rows = lines_of(path)
    late = next(r for r in rows if ",B6,35," in r)
    gone = next(r for r in rows if ",B6," not in r)
    corrected = late.replace(",81,", ",82,")
    write(path, [header, *(r for r in rows if r not in (late, gone)), corrected])
    outcome = go(empty_warehouse)
    of_two = dict.fromkeys(
        (
            "agg_airlines_daily", "agg_airlines_rolling_28_days", "agg_departures_hourly",
            "agg_routes_monthly",
        ),
        (0, 2, 0),
    )  # fmt: skip
    assert changes(outcome) == {"fct_flights": (0, 1, 1), **of_two}
    assert set(query(empty_warehouse, unchanged)) < set(before)
    history = query(
        empty_warehouse,
        "select change, departure_delay_minutes from history.fct_flights"
        " where publication_id = 2 and flight_number = 35",
    )
    assert history == [("update", 81)], "the pre-image is kept"


def test_day_by_day_corrected_and_at_once_give_the_same_marts(new_warehouse: NewWarehouse) -> None:
    days = [DAY, date(2013, 3, 10), date(2013, 3, 11)]
    slow, quick = new_warehouse("slow"), new_warehouse("quick")
    for day in reversed(days):
        land_days(slow, day)
        if day == days[1]:
            whole = landed(slow, "flights", day).read_bytes()
            write(landed(slow, "flights", day), lines_of(landed(slow, "flights", day))[:400])
        go(slow)
    landed(slow, "flights", days[1]).write_bytes(whole)
    go(slow)
    land_days(quick, DAY, 3)
    go(quick)
    assert digests(slow) == digests(quick)


def test_a_withdrawn_day_ends_empty_and_a_late_one_appears(new_warehouse: NewWarehouse) -> None:
    given, without = new_warehouse("with"), new_warehouse("without")
    land_days(given, DAY, 3)
    go(given)
    query_id = "select delivery_id from ops.deliveries where uri like 'flights/%03-10%'"
    ((delivery_id,),) = query(given, query_id)
    assert isinstance(delivery_id, int)
    with database.connect(given) as connection:
        withdraw(given, connection, delivery_id, "a test")
    assert changes(go(given))["fct_flights"] == (0, 0, 908)
    assert go(given).publication is None
    land_days(without, DAY, 3)
    landed(without, "flights", date(2013, 3, 10)).unlink()
    go(without)
    assert digests(given) == digests(without)


@pytest.mark.needs("postgresql")
def test_debians_postgresql_gives_the_same_marts(
    empty_warehouse: Settings, debian_warehouse: Settings
) -> None:
    for given in (empty_warehouse, debian_warehouse):
        land_days(given, DAY)
        go(given)
        assert go(given).publication is None
    assert digests(debian_warehouse) == digests(empty_warehouse)


def test_a_blocked_gate_publishes_nothing_and_the_mended_file_goes_through(
    empty_warehouse: Settings,
) -> None:
    land_days(empty_warehouse, DAY)
    go(empty_warehouse)
    before = digests(empty_warehouse)
    bad = date(2013, 1, 1)
    rows = [row(flight=n) for n in range(1, 20)]
    write(
        landed(empty_warehouse, "flights", bad), [HEADER, *rows, row(dep_time=305, dep_delay=-130)]
    )
    with pytest.raises(GateBlocked, match="departure_delay_minutes") as blocked:
        go(empty_warehouse)
    said = str(blocked.value)
    assert "UA-1545-EWR-2013-01-01-0515 = -130" in said
    assert "partitions: flight_date between '2013-01-01' and '2013-01-01'" in said
    assert "owner: flight-analytics; these came with delivery 4; `make withdraw`" in said
    assert "runbooks/gate-blocked-publish.md" in blocked.value.todo
    assert digests(empty_warehouse) == before
    with pytest.raises(GateBlocked):
        go(empty_warehouse)
    write(landed(empty_warehouse, "flights", bad), [HEADER, *rows, row()])
    assert changes(go(empty_warehouse))["fct_flights"] == (20, 0, 0)


def test_a_failing_dbt_test_blocks(empty_warehouse: Settings) -> None:
    land_days(empty_warehouse, DAY)
    unknown = [row(flight=n, carrier="ZZ") for n in range(1, 20)]
    write(landed(empty_warehouse, "flights", date(2013, 1, 1)), [HEADER, *unknown])
    with pytest.raises(GateBlocked, match="relationships_fct_flights_airline_id"):
        go(empty_warehouse)
    assert digests(empty_warehouse) == {}


class TestOneRun:
    """Steps one by one, on one day."""

    @pytest.fixture
    def connection(self, empty_warehouse: Settings) -> Iterator[database.Connection]:
        land_days(empty_warehouse, DAY)
        with database.connect(empty_warehouse) as connection:
            ingest(empty_warehouse, connection)
            yield connection

    @pytest.fixture
    def built(self, empty_warehouse: Settings, connection: database.Connection) -> Run:
        reason = plan.due(empty_warehouse, connection)
        assert reason
        manifest = parse(empty_warehouse)
        this = plan.plan(empty_warehouse, connection, reason, manifest).run
        assert this
        assert this.kind == "first"
        assert build(empty_warehouse, connection, this, manifest).failed == ()
        return this

    def test_missing_evidence_blocks(
        self, empty_warehouse: Settings, connection: database.Connection, built: Run
    ) -> None:
        connection.execute(
            "delete from ops.build_results where unique_id = 'model.airworthy.dim_airports'"
        )
        verdict = gate.gate(empty_warehouse, connection, built)
        assert not verdict.passed
        assert [(c.subject, c.observed) for c in verdict.blocking] == [
            ("dim_airports", "no result")
        ]
        with pytest.raises(GateBlocked):
            publish.publish(connection, verdict)

    @pytest.mark.parametrize("suite", [None, "{}", '{"expectations": []}', "{", "[]"])
    def test_a_missing_or_empty_suite_blocks(
        self,
        empty_warehouse: Settings,
        connection: database.Connection,
        built: Run,
        tmp_path: Path,
        suite: str | None,
    ) -> None:
        shutil.copytree(PROJECT / "expectations", tmp_path / "expectations")
        path = tmp_path / "expectations/fct_flights.json"
        path.unlink() if suite is None else path.write_text(suite)
        elsewhere = replace(empty_warehouse, project=tmp_path)
        verdict = gate.gate(elsewhere, connection, built)
        assert [c.subject for c in verdict.blocking] == ["fct_flights"]

    def test_an_expectation_that_cannot_run_blocks(
        self,
        empty_warehouse: Settings,
        connection: database.Connection,
        built: Run,
        tmp_path: Path,
    ) -> None:
        shutil.copytree(PROJECT / "expectations", tmp_path / "expectations")
        (tmp_path / "expectations/dim_airlines.json").write_text(
            '{"expectations": [{"type": "expect_column_values_to_not_be_null",'
            ' "severity": "warning", "kwargs": {"column": "no_such_column"}}]}'
        )
        verdict = gate.gate(replace(empty_warehouse, project=tmp_path), connection, built)
        assert [c.subject for c in verdict.blocking] == ["great_expectations"]

    @pytest.mark.parametrize(
        ("program", "said"),
        [
            ("import time; time.sleep(60)", "no answer within 1 seconds"),
            ("import a_library_that_is_not_there", "No module named 'a_library_that_is_not_there'"),
            ("import sys; sys.stdin.readline(); sys.exit(1)", "it ended without an answer"),
            ("import os; os.kill(os.getpid(), 9)", "it ended without an answer"),
        ],
    )
    def test_a_library_that_hangs_fails_or_is_missing_blocks(
        self,
        empty_warehouse: Settings,
        connection: database.Connection,
        built: Run,
        monkeypatch: pytest.MonkeyPatch,
        program: str,
        said: str,
    ) -> None:
        monkeypatch.setattr(auditor, "COMMAND", (sys.executable, "-c", program))
        # A process that has loaded the library, as an earlier test may have, copies itself.
        monkeypatch.delitem(sys.modules, "great_expectations", raising=False)
        quick = replace(empty_warehouse, gate_timeout_seconds=1)
        verdict = gate.gate(quick, connection, built)
        (blocking,) = verdict.blocking
        assert blocking.subject == "great_expectations"
        assert said in blocking.observed
        with pytest.raises(GateBlocked):
            publish.publish(connection, verdict)

    def test_a_candidate_that_changed_after_the_audit_is_refused(
        self, empty_warehouse: Settings, connection: database.Connection, built: Run
    ) -> None:
        verdict = gate.gate(empty_warehouse, connection, built)
        assert verdict.passed
        connection.execute("update candidate.fct_flights set _line = 0 where flight_number = 35")
        with pytest.raises(GateBlocked, match="changed after it was audited"):
            publish.publish(connection, verdict)
        assert digests(empty_warehouse).get("fct_flights", (0, ""))[0] == 0

    def test_a_superseded_run_can_neither_judge_nor_publish(
        self, empty_warehouse: Settings, connection: database.Connection, built: Run
    ) -> None:
        verdict = gate.gate(empty_warehouse, connection, built)
        reason = plan.due(empty_warehouse, connection)
        assert reason
        newer = plan.plan(empty_warehouse, connection, reason, parse(empty_warehouse)).run
        with pytest.raises(AirworthyError, match="superseded"):
            gate.gate(empty_warehouse, connection, built)
        with pytest.raises(AirworthyError, match="superseded"):
            publish.publish(connection, verdict)
        assert runs.current(connection) == newer

    def test_the_database_itself_refuses_a_publication_without_a_passing_verdict(
        self, connection: database.Connection, built: Run
    ) -> None:
        statement = (
            "insert into ops.publications (run_id, base_run_id, as_of, code_version, published_by)"
            " values (%s, 1, 1, '', '')"
        )
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(statement, [built.run_id])

    def test_a_second_run_at_the_same_time_is_turned_away(
        self, empty_warehouse: Settings, connection: database.Connection
    ) -> None:
        with database.only_one(connection, "run"), pytest.raises(WarehouseBusy):
            go(empty_warehouse)

    def test_a_build_reads_only_what_the_plan_pinned(
        self, empty_warehouse: Settings, connection: database.Connection
    ) -> None:
        reason = plan.due(empty_warehouse, connection)
        assert reason
        manifest = parse(empty_warehouse)
        this = plan.plan(empty_warehouse, connection, reason, manifest).run
        assert this
        path = landed(empty_warehouse, "flights", DAY)
        write(path, lines_of(path)[:10])
        ingest(empty_warehouse, connection)
        build(empty_warehouse, connection, this, manifest)
        rows = connection.execute("select count(*) from candidate.fct_flights").fetchone()
        assert rows == (765,)


def test_changed_code_rebuilds_everything_and_unpublished_partitions_are_not_forgotten(
    empty_warehouse: Settings, tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "project")
    given = replace(empty_warehouse, project=project)
    land_days(given, DAY)
    go(given)
    model = project / "models/marts/flights/fct_flights.sql"
    good = model.read_text()
    model.write_text(
        good.replace(">= 15, false)\n            as is_arr", ">= 20, false)\n            as is_arr")
    )
    assert model.read_text() != good
    outcome = go(given)
    assert changes(outcome)["fct_flights"][0::2] == (0, 0)
    late = "select count(*) from published.fct_flights where is_arrival_late"
    assert query(given, late) == query(
        given, late.replace("is_arrival_late", "arrival_delay_minutes >= 20")
    )
    # A change that the gate blocks, taken back: the candidate must not keep its traces.
    before = digests(given)
    distance = "identified.distance_miles"
    model.write_text(good.replace(distance, f"-{distance} as distance_miles"))
    suite = project / "expectations/fct_flights.json"
    suite.write_text(suite.read_text().replace('"max_value": 900', '"max_value": 11'))
    with pytest.raises(GateBlocked):
        go(given)
    assert digests(given) == before
    model.write_text(good)
    suite.write_text((PROJECT / "expectations/fct_flights.json").read_text())
    go(given)
    with database.connect(given) as connection:
        assert connection.execute(
            "select min(distance_miles) > 0 from candidate.fct_flights"
        ).fetchone() == (True,)
        rows = connection.execute("select count(*) from candidate.fct_flights").fetchone()
        assert rows == (765,)


@pytest.mark.parametrize(
    "until",
    [
        "select count(*) > 1 from ops.deliveries",
        "select count(*) > 0 from ops.runs",
        "select to_regclass('candidate.fct_flights') is not null",
        "select exists (select from ops.runs where state = 'built')",
        "select exists (select from ops.runs where state = 'passed')",
    ],
)
def test_killed_anywhere_one_plain_rerun_converges(new_warehouse: NewWarehouse, until: str) -> None:
    given, undisturbed = new_warehouse("killed"), new_warehouse("undisturbed")
    for each in (given, undisturbed):
        warehouse.up(each)
        land_days(each, DAY)
    environment = environment_with({
        "WAREHOUSE_URL": str(given.warehouse_url), "VAR_DIR": str(given.var),
        "LANDING_URL": given.landing_url,
    })  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestration", "run"], env=environment, cwd=PROJECT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with database.connect(given) as watch:
        deadline = time.monotonic() + 120
        while not (watch.execute(until).fetchone() or [False])[0]:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    process.kill()
    process.wait()
    time.sleep(0.5)  # until the server notices and the locks are gone
    go(given)
    go(undisturbed)
    assert digests(given) == digests(undisturbed)
    assert go(given).publication is None


def test_code_that_changed_after_the_plan_is_not_built(
    empty_warehouse: Settings, connection: database.Connection, tmp_path: Path
) -> None:
    given = replace(empty_warehouse, project=copy_project(tmp_path / "project"))
    land_days(given, DAY)
    ingest(given, connection)
    reason = plan.due(given, connection)
    assert reason
    this = plan.plan(given, connection, reason, parse(given)).run
    assert this
    with (given.project / "models/marts/flights/dim_airlines.sql").open("a") as model:
        model.write("-- another word\n")
    with pytest.raises(StaleRun, match="changed after run 1 was planned"):
        build(given, connection, this)
