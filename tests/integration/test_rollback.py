"""Back to a retained publication and on again; what is kept for it, and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from orchestration import database
from orchestration.auditing.gate import recall
from orchestration.errors import PublishingHeld, UsageError
from orchestration.ingesting.replay import withdraw
from orchestration.publishing import digest, history, retention
from orchestration.publishing.publish import publish
from orchestration.publishing.rollback import active_hold, resume, roll_back
from orchestration.runs import current
from orchestration.settings import Settings
from tests import warehouses
from tests.flights import land_days, landed, lines_of, write
from tests.steps import go
from tests.warehouses import Kept

DAY = date(2013, 3, 9)
States = dict[int, dict[str, tuple[int, str]]]  # of each publication: rows and digests


def digests(connection: database.Connection) -> dict[str, tuple[int, str]]:
    return {d.mart: (d.rows, d.value) for d in digest.published(connection)}


@pytest.fixture
def connection(empty_warehouse: Settings) -> Iterator[database.Connection]:
    with database.connect(empty_warehouse) as opened:
        yield opened


class TestThreePublications:
    """A day; a second one; the first one corrected: a row changed, one gone, one new."""

    @pytest.fixture(scope="class")
    def prepared(
        self, embedded_server: Settings, tmp_path_factory: pytest.TempPathFactory
    ) -> tuple[Kept, States]:
        given = warehouses.new(embedded_server, tmp_path_factory.mktemp("three_publications"))
        states = {}
        path = landed(given, "flights", DAY)
        for number in (1, 2, 3):
            land_days(given, DAY, 2 if number > 1 else 1)
            if number == 3:
                header, first, second, *rows = lines_of(path)
                number_at = header.split(",").index("flight")
                changed = first.split(",")
                changed[number_at] = "9999"
                longer = second.split(",")
                longer[header.split(",").index("distance")] = "4000"
                write(path, [header, ",".join(changed), ",".join(longer), *rows[1:]])
            go(given)
            with database.connect(given) as connection:
                states[number] = digests(connection)
        assert len({str(state) for state in states.values()}) == 3
        return Kept(given, embedded_server), states

    @pytest.fixture
    def given(self, prepared: tuple[Kept, States], tmp_path: Path) -> Settings:
        return prepared[0].copy(tmp_path)

    @pytest.fixture
    def connection(self, given: Settings) -> Iterator[database.Connection]:
        with database.connect(given) as opened:
            yield opened

    @pytest.fixture
    def states(self, prepared: tuple[Kept, States]) -> States:
        return prepared[1]

    @pytest.mark.parametrize("to", [1, 2])
    def test_rollback_restores_the_digest_and_holds_until_somebody_resumes(
        self,
        given: Settings,
        connection: database.Connection,
        states: States,
        to: int,
    ) -> None:
        roll_back(given, connection, to, "a test")
        assert digests(connection) == states[to]
        assert active_hold(connection)
        # A run builds and gates, publishes nothing, and does not do so twice.
        land_days(given, date(2013, 3, 11))
        last = landed(given, "flights", date(2013, 3, 11))
        assert go(given).publication is None
        this = current(connection)
        with pytest.raises(PublishingHeld, match="a test"):
            publish(connection, recall(connection, this))
        assert go(given).publication is None
        assert current(connection) == this
        assert digests(connection) == states[to]
        # Back and forth; then on, as if nothing had been.
        roll_back(given, connection, 3, "forth")
        assert digests(connection) == states[3]
        resume(given, connection, "mended")
        assert go(given).publication
        rows = connection.execute(
            "select flight_date, count(*) from published.fct_flights group by 1 order by 1"
        ).fetchall()
        assert [count for _, count in rows] == [764, 908, len(lines_of(last)) - 1]

    def test_after_a_rollback_the_next_run_brings_all_of_it_again(
        self,
        given: Settings,
        connection: database.Connection,
        states: States,
    ) -> None:
        roll_back(given, connection, None, "a test")
        assert digests(connection) == states[2]
        resume(given, connection, "it was right after all")
        assert go(given).publication
        assert digests(connection) == states[3]
        assert go(given).publication is None

    def test_the_difference_shows_old_beside_new(
        self, connection: database.Connection, states: States
    ) -> None:
        found = {d.mart: d for d in history.of_publication(connection, 3, 5)}
        assert found["fct_flights"].counts == {"insert": 1, "delete": 2, "update": 1}
        assert set(found) >= {"agg_airlines_daily", "agg_departures_hourly"}
        change, before, after = found["agg_airlines_daily"].rows[0]
        assert change == "update"
        assert before["flight_count"] != after["flight_count"]
        assert [p.publication_id for p in history.publications(connection)] == [3, 2, 1]

    def test_gc_keeps_what_retained_publications_need_and_nothing_else(
        self,
        given: Settings,
        connection: database.Connection,
        states: States,
    ) -> None:
        short = replace(given, retain_publications=1, retain_days=0)
        removed = retention.collect(short, connection)
        assert (removed.publications, removed.deliveries, removed.raw_rows) == (2, 1, 765)
        assert digests(connection) == states[3]
        with pytest.raises(UsageError, match="not retained"):
            roll_back(given, connection, 1, "too late")
        with pytest.raises(UsageError, match="not retained"):
            list(history.of_publication(connection, 1, 5))
        roll_back(given, connection, 2, "just in time")
        assert digests(connection) == states[2]
        assert retention.collect(short, connection).raw_rows == 0

    @pytest.mark.parametrize("to", [0, 3, 99])
    def test_there_is_nothing_to_go_back_to(
        self,
        given: Settings,
        connection: database.Connection,
        states: States,
        to: int,
    ) -> None:
        with pytest.raises(UsageError, match="no publication"):
            roll_back(given, connection, to, "a test")
        assert digests(connection) == states[3]


def test_a_delivery_that_gc_emptied_does_not_come_back(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    land_days(empty_warehouse, DAY)
    go(empty_warehouse)
    path = landed(empty_warehouse, "flights", DAY)
    write(path, lines_of(path)[:-1])
    go(empty_warehouse)
    retention.collect(replace(empty_warehouse, retain_publications=1, retain_days=0), connection)
    row = connection.execute(
        "select max(delivery_id) from ops.deliveries where source = 'flights'"
    ).fetchone()
    assert row
    withdraw(empty_warehouse, connection, row[0], "a test")
    go(empty_warehouse)
    assert digests(connection)["fct_flights"][0] == 0


def test_nothing_is_held(empty_warehouse: Settings, connection: database.Connection) -> None:
    with pytest.raises(UsageError, match="Nothing is held"):
        resume(empty_warehouse, connection, "a test")
