"""What `published._catalog` tells people about the marts, and when it changes."""

from __future__ import annotations

from datetime import date

import psycopg
import pytest

from orchestration import database
from orchestration.publishing import catalogue
from orchestration.publishing.rollback import roll_back
from orchestration.settings import Settings
from tests.flights import land_days
from tests.steps import go, query

DAY = date(2013, 3, 9)
_ALL = "select * from published._catalog order by mart"


def test_the_catalogue_follows_publication_and_rollback(empty_warehouse: Settings) -> None:
    given = empty_warehouse
    assert query(given, _ALL) == [], "nothing is published yet"
    land_days(given, DAY)
    go(given)
    with database.connect(given) as connection, database.connect(given) as reader:
        first = {entry.mart: entry for entry in catalogue.read(connection)}
        _says_everything(connection, first)
        _is_readers_own(reader, first)
        reader.execute("begin transaction isolation level repeatable read")
        before = reader.execute(_ALL).fetchall()
        land_days(given, date(2013, 3, 10))
        go(given)
        assert reader.execute(_ALL).fetchall() == before, "one publication per transaction"
        reader.execute("commit")
        second = {entry.mart: entry for entry in catalogue.read(connection)}
        _has_moved_on(second)
        roll_back(given, connection, None, "the test wants it")
        third = {entry.mart: entry for entry in catalogue.read(connection)}
        assert third["fct_flights"].newest_date == DAY
        assert third["fct_flights"].row_count == first["fct_flights"].row_count
        assert third["fct_flights"].deliveries == first["fct_flights"].deliveries
        assert (third["fct_flights"].publication_id, third["dim_airlines"].changed_in) == (3, 1)
        _can_be_filled_from_manifests(connection)


def _says_everything(connection: database.Connection, entries: dict[str, catalogue.Entry]) -> None:
    marts = connection.execute(
        "select relname from pg_class where relnamespace = 'published'::regnamespace"
        " and relkind = 'r' order by relname"
    ).fetchall()
    assert sorted(entries) == [mart for (mart,) in marts]
    flights = entries["fct_flights"]
    assert (flights.owner, flights.contact) == (
        "flight-analytics", "flight-analytics@example.com"
    )  # fmt: skip
    assert flights.description == "One row per scheduled departure from New York."
    assert flights.columns[0]["name"] == "flight_id"
    assert flights.columns[0]["type"] == "text"
    assert flights.columns[0]["description"].startswith("Airline, flight number")
    assert "int_flights_timed" in flights.parents
    assert flights.sources == ["flights", "weather"]
    assert (flights.row_count, flights.newest_date) == (765, DAY)
    assert {each["source"]: each["newest_slice"] for each in flights.deliveries} == {
        "flights": f"{DAY}", "weather": f"{DAY}"
    }  # fmt: skip
    (judged,) = flights.quality_history
    assert judged["is_passed"] is True
    assert flights.checks == judged["checks"] > flights.checks - judged["warnings"] - 1
    assert entries["dim_airlines"].newest_date is None


def _is_readers_own(reader: database.Connection, entries: dict[str, catalogue.Entry]) -> None:
    """They read it, and nothing of what it is made from."""
    reader.execute("set role airworthy_reader")
    assert len(reader.execute(_ALL).fetchall()) == len(entries)
    for denied in (
        "select * from ops.mart_descriptions",
        "select * from ops.quality_of('fct_flights', 1)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(denied)


def _has_moved_on(entries: dict[str, catalogue.Entry]) -> None:
    flights = entries["fct_flights"]
    assert (flights.publication_id, flights.changed_in) == (2, 2)
    assert flights.newest_date == date(2013, 3, 10)
    assert [each["run_id"] for each in flights.quality_history] == [2, 1]
    assert entries["dim_airlines"].changed_in == 1, "nothing of it has changed"


def _can_be_filled_from_manifests(connection: database.Connection) -> None:
    """As the migration does it in a warehouse that published before there was a catalogue."""
    before = connection.execute(_ALL).fetchall()
    connection.execute("delete from ops.mart_descriptions")
    assert connection.execute(_ALL).fetchall() == []
    catalogue.remember_all(connection)
    assert connection.execute(_ALL).fetchall() == before
