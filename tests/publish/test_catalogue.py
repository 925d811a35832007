"""What `published._catalog` tells people about the marts, and when it changes."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
import pytest

from tests.support.checkout import Checkout

_ALL = "select * from published._catalog order by mart"
# What the ledger lacked before it had a catalogue.
_BEFORE = """
    drop view published._catalog;
    drop view ops.unattended;
    drop table ops.retries, ops.mart_descriptions;
    drop function ops.catalogue, ops.newest_date_of, ops.quality_of;
    drop function ops.require_within, ops.lineage_columns, ops.is_hashable, ops.rows_digest,
        ops.digest_of_marts, ops.create_published;
    delete from ops.lineage_told where what in ('run', 'end');
    drop table ops.publication_shapes;
    drop function ops.definition_of, ops.shape_of, ops.missing, ops.new_columns, ops.must_lock,
        ops.lock_readers_out, ops.loosen, ops.tighten, ops.grantee, ops.published_shape,
        ops.record_shape, ops.require_same_mart, ops.is_unique_elsewhere, ops.publish_rows,
        ops.must_loosen, ops.analyze_if_changed, ops.require_delivered_dates;
    create function ops.prepare_publication(bigint, uuid) returns void language sql as '';
    do $$ declare mart name; begin
        for mart in select relname from pg_class
        where relnamespace = 'history'::regnamespace and relkind = 'r' loop
            execute format('alter table history.%I rename _publication_id to publication_id', mart);
            execute format('alter table history.%I rename _change to change', mart);
        end loop;
    end $$;
    alter table ops.publication_changes drop column lineage_updated;
    drop index ops.gate_results_subjects, ops.run_nodes_marts, ops.publication_changes_marts;
    update ops.alembic_version set version_num = '0010';
"""


def entries(made: Checkout) -> dict[str, dict[str, Any]]:
    found = made.query("select mart, to_jsonb(entry) from published._catalog as entry")
    return dict(found)


def test_the_catalogue_says_everything_about_a_mart(published_flights: Checkout) -> None:
    made, found = published_flights, entries(published_flights)
    marts = made.query(
        "select relname from pg_class where relnamespace = 'published'::regnamespace"
        " and relkind = 'r'"
    )
    assert found.keys() == {mart for (mart,) in marts}
    flights = found["fct_flights"]
    assert flights["owner"] == "flight-analytics"
    assert flights["contact"] == "flight-analytics@example.com"
    assert flights["description"] == "One row per scheduled departure from New York."
    first = flights["columns"][0]
    assert (first["name"], first["type"]) == ("flight_id", "text")
    assert first["description"].startswith("Airline, flight number")
    assert "int_flights_timed" in flights["parents"]
    assert flights["sources"] == ["flights", "weather"]
    assert flights["row_count"] == made.value("select count(*) from published.fct_flights") > 2000
    assert flights["newest_date"] == "2013-03-11"
    assert {each["source"]: each["newest_slice"] for each in flights["deliveries"]} == {
        "flights": "2013-03-11", "weather": "2013-03-11"
    }  # fmt: skip
    (judged,) = flights["quality_history"]
    assert judged["is_passed"] is True
    assert flights["checks"] == judged["checks"] > 0
    assert flights["checks_passed"] == judged["checks"] - judged["warnings"]
    assert found["dim_airlines"]["newest_date"] is None


def test_the_catalogue_follows_publication_and_rollback(published: Checkout) -> None:
    second = entries(published)
    assert second["fct_readings"]["newest_date"] == "2013-03-10"
    assert second["fct_readings"]["row_count"] == 144
    published.land(date(2013, 3, 11))
    with published.connect(role="reader") as reader:
        reader.execute("begin transaction isolation level repeatable read")
        before = reader.execute(_ALL).fetchall()
        assert len(before) == 3
        published.call("run")
        assert reader.execute(_ALL).fetchall() == before, "one publication per transaction"
        reader.execute("commit")
        assert reader.execute(_ALL).fetchall() != before
    third = entries(published)
    readings = third["fct_readings"]
    assert (readings["publication_id"], readings["changed_in"]) == (3, 3)
    assert (readings["newest_date"], readings["row_count"]) == ("2013-03-11", 216)
    assert [each["run_id"] for each in readings["quality_history"]] == [3, 2, 1]
    assert third["dim_stations"]["changed_in"] == 1, "nothing of it has changed"

    published.call("rollback", "--reason", "the test wants it")
    fourth = entries(published)
    for told in ("newest_date", "row_count", "deliveries"):
        assert fourth["fct_readings"][told] == second["fct_readings"][told]
    assert fourth["fct_readings"]["publication_id"] == 4
    assert fourth["dim_stations"]["changed_in"] == 1


def test_readers_see_it_and_nothing_of_what_it_is_made_from(published: Checkout) -> None:
    with published.connect(role="reader") as reader:
        assert len(reader.execute(_ALL).fetchall()) == 3
        for denied in (
            "select * from ops.mart_descriptions",
            "select * from ops.quality_of('fct_readings', 1)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(denied)


def test_before_the_first_publication_it_is_empty(empty: Checkout) -> None:
    assert empty.query(_ALL) == []


def test_a_warehouse_that_published_before_there_was_a_catalogue_gets_a_full_one(
    published: Checkout,
) -> None:
    before = published.query(_ALL)
    assert before
    published.execute(_BEFORE)
    published.call("up")
    assert published.query(_ALL) == before


def test_every_column_that_there_is_says_what_it_holds(published_flights: Checkout) -> None:
    undescribed = published_flights.query(
        "select relname, attname from pg_attribute inner join pg_class on attrelid = pg_class.oid"
        " where relnamespace::regnamespace::text = any(%s) and relkind in ('r', 'v')"
        " and attnum > 0 and not attisdropped and relname not like '\\_%%'"
        " and col_description(attrelid, attnum) is null",
        ["staging", "intermediate", "candidate", "published"],
    )
    assert undescribed == []
