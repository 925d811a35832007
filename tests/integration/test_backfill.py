"""Ranges of dates, rebuilt chunk by chunk; in the end the marts of a build from scratch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from orchestration import database
from orchestration.backfills import run as backfill_run
from orchestration.backfills.outline import Request
from orchestration.errors import GateBlocked, PublishingHeld, UsageError
from orchestration.ingesting.ingest import ingest
from orchestration.ingesting.replay import withdraw
from orchestration.planning.plan import due
from orchestration.publishing.rollback import resume, roll_back
from orchestration.settings import Settings
from orchestration.warehouse_server import warehouse
from tests import warehouses
from tests.conftest import NewWarehouse
from tests.flights import HEADER, land_days, landed, lines_of, row, write
from tests.steps import copy_project, digests, go, query
from tests.warehouses import Kept

DAY = date(2013, 3, 30)  # the last but one of a month


@dataclass(frozen=True)
class Corrected(Kept):
    """Three days are published, two of them were corrected since.

    Attributes:
        after: what a build from scratch makes of it.
    """

    after: dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def three_days(embedded_server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Corrected:
    given, scratch = (
        replace(warehouses.new(embedded_server, tmp_path_factory.mktemp(name)), settle_seconds=0)
        for name in ("three_days", "scratch")
    )
    land_days(given, DAY, 3)
    go(given)
    correct(given, DAY)
    correct(given, until(3))
    take_in(given)
    go(replace(scratch, landing_url=given.landing_url))
    return Corrected(given, embedded_server, digests(scratch))


def until(days: int) -> date:
    return DAY + timedelta(days - 1)


def take_in(given: Settings) -> None:
    with warehouse.ready(given) as connection:
        ingest(given, connection)


def start(given: Settings, request: Request) -> None:
    with warehouse.ready(given) as connection:
        backfill_run.start(given, connection, request)


def is_due(given: Settings) -> bool:
    with database.connect(given) as connection:
        return due(given, connection) is not None


def states(given: Settings) -> list[object]:
    rows = query(given, "select state from ops.backfill_chunk_states order by backfill_id, number")
    return [state for (state,) in rows]


def publications(given: Settings) -> int:
    ((count,),) = query(given, "select count(*)::int from ops.publications")
    assert isinstance(count, int)
    return count


def correct(given: Settings, day: date) -> None:
    """A new file for the day: two flights less, one with another number."""
    path = landed(given, "flights", day)
    header, first, *rows = lines_of(path)
    cells = first.split(",")
    cells[header.split(",").index("flight")] = "9999"
    write(path, [header, ",".join(cells), *rows[2:]])


def test_a_first_load_in_chunks_is_a_build_from_scratch_and_leaves_nothing_to_do(
    new_warehouse: NewWarehouse,
) -> None:
    given, scratch = new_warehouse("chunks"), new_warehouse("scratch")
    for each in (given, scratch):
        land_days(each, DAY, 3)
        take_in(each)
    go(scratch)
    start(given, Request(DAY, until(3), "2d"))
    assert states(given) == ["published", "published"]
    assert digests(given) == digests(scratch)
    assert not is_due(given)
    # Again: nothing differs, nothing is due after it; of a part as of all.
    start(given, Request(until(2), until(2), models=("agg_airlines_daily",)))
    assert digests(given) == digests(scratch)
    built = query(
        given,
        "select name from ops.run_nodes where resource_type = 'model'"
        " and run_id = (select max(run_id) from ops.runs) order by 1",
    )
    assert built == [("agg_airlines_daily",), ("agg_airlines_rolling_28_days",)]
    assert not is_due(given)


class TestPublished:
    """Three days are published; two of them were corrected since."""

    @pytest.fixture
    def given(self, three_days: Corrected, tmp_path: Path) -> Settings:
        project = copy_project(tmp_path / "project")
        return replace(three_days.copy(tmp_path), project=project)

    @pytest.fixture
    def after(self, three_days: Corrected) -> dict[str, tuple[int, str]]:
        """What a build from scratch makes of it."""
        return three_days.after

    def test_a_part_leaves_the_rest_for_the_next_run_and_can_be_taken_back(
        self, given: Settings, after: dict[str, tuple[int, str]]
    ) -> None:
        before = digests(given)
        start(given, Request(DAY, until(2), "1d"))
        half = digests(given)
        assert half not in (before, after)
        assert is_due(given)
        with database.connect(given) as connection:
            roll_back(given, connection, 1, "a test")
            assert digests(given) == before
            with pytest.raises(PublishingHeld):
                start(given, Request(until(3), until(3)))
            resume(given, connection, "a test")
            # What was taken back is built again; then on from the middle.
            assert go(given).publication
            assert digests(given) == after
            roll_back(given, connection, 2, "a test")
            resume(given, connection, "a test")
        assert digests(given)["fct_flights"][0] == half["fct_flights"][0]
        backfill = Request(DAY, until(3), "1d", backwards=True)
        with warehouse.ready(given) as connection, pytest.raises(UsageError, match="overlaps"):
            backfill_run.start(given, connection, replace(backfill, staged=True))
        with warehouse.ready(given) as connection:
            backfill_run.go_on(given, connection, 2)
        assert digests(given) == after
        assert not is_due(given)

    def test_compared_it_publishes_nothing_and_staged_all_at_once(
        self,
        given: Settings,
        after: dict[str, tuple[int, str]],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        before = digests(given)
        start(given, Request(DAY, until(3), "1d", compare=True))
        said = capsys.readouterr().out
        assert "fct_flights: 6 deletes, 2 inserts" in said
        assert "2013-03: 3 deletes, 1 inserts" in said
        assert "agg_airlines_daily" in said
        assert (digests(given), publications(given)) == (before, 1)
        left = "select * from candidate.fct_flights except select * from published.fct_flights"
        assert query(given, left) == []
        start(given, Request(DAY, until(3), "1d", staged=True))
        assert (digests(given), publications(given)) == (after, 2)
        assert not is_due(given)

    def test_a_blocked_chunk_stops_it_or_is_passed_by(
        self, given: Settings, after: dict[str, tuple[int, str]]
    ) -> None:
        that_day = {"month": 3, "day": 31, "time_hour": "2013-03-31T09:00:00Z"}
        bad = [row(flight=n, **that_day) for n in range(1, 20)]
        bad.append(row(dep_time=305, dep_delay=-130, **that_day))
        write(landed(given, "flights", until(2)), [HEADER, *bad])
        take_in(given)
        with pytest.raises(GateBlocked, match="departure_delay_minutes"):
            start(given, Request(DAY, until(3), "1d"))
        assert states(given) == ["published", "blocked", "waiting"]
        with pytest.raises(GateBlocked, match="1 of 3 chunks were blocked: 2013-03-31"):
            start(given, Request(DAY, until(3), "1d", keep_going=True))
        assert states(given) == ["published", "blocked", "published"]
        assert query(given, "select count(*) from published.fct_flights") == query(
            given, "select count(*) from candidate.fct_flights"
        )
        query_id = "select max(delivery_id) from ops.deliveries where uri like 'flights/%03-31%'"
        ((delivery,),) = query(given, query_id)
        assert isinstance(delivery, int)
        with database.connect(given) as connection:
            withdraw(given, connection, delivery, "a test")
        with warehouse.ready(given) as connection:
            backfill_run.go_on(given, connection, 1, repin=True)
        assert digests(given) == after
        assert not is_due(given)

    def test_changed_code_takes_all_of_the_history(self, given: Settings) -> None:
        model = given.project / "models/marts/flights/fct_flights.sql"
        model.write_text(model.read_text().replace(">= 15", ">= 20"))
        before = digests(given)
        with pytest.raises(UsageError, match="would mix old code and new: the code of agg_"):
            start(given, Request(DAY, until(2)))
        with pytest.raises(UsageError, match="would mix"):
            start(given, Request(DAY, until(3), models=("fct_flights",)))
        assert digests(given) == before
        start(given, Request(DAY, until(3), "2d"))
        late = "select count(*) from published.fct_flights where is_departure_late"
        late = f"{late} or is_arrival_late"
        assert query(given, late) == query(
            given,
            "select count(*) from published.fct_flights"
            " where departure_delay_minutes >= 20 or arrival_delay_minutes >= 20",
        )
        assert not is_due(given)

    def test_bad_input_changes_nothing(self, given: Settings) -> None:
        bad = {
            "lies before START": Request(until(2), DAY),
            "leaves the data, which goes from 2013-03-30 to": Request(date(2012, 1, 1), DAY),
            "There is no model nothing": Request(DAY, until(3), models=("nothing",)),
            "larger than the range, which has 3 days": Request(DAY, until(3), "week"),
            "cannot be 'decade'": Request(DAY, until(3), "decade"),
        }
        for said, request in bad.items():
            with pytest.raises(UsageError, match=said) as refused:
                start(given, request)
            assert refused.value.todo
        assert query(given, "select count(*) from ops.backfills") == [(0,)]
        assert query(given, "select count(*) from ops.runs") == [(1,)]


def test_without_any_delivery_there_is_nothing_to_build(empty_warehouse: Settings) -> None:
    with pytest.raises(UsageError, match="Nothing was delivered yet"):
        start(empty_warehouse, Request(DAY, DAY))
