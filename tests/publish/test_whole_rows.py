"""Published is the audited candidate in every column and of any type, and nothing by half."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.publish.given import spoiled
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.files import DAY

_VALUES = {
    "json": "'{\"a\": 1}'::json", "jsonb": "'{\"a\": 1}'::jsonb",
    "point": "point(1, 2)", "box": "box(point(0, 0), point(1, 1))", "circle": "circle '((0,0),1)'",
    "path": "path '((0,0),(1,1))'", "polygon": "polygon '((0,0),(1,1))'", "line": "line '{1,2,3}'",
    "lseg": "lseg '((0,0),(1,1))'", "json[]": "array['{}'::json]", "text[]": "array['a']",
    "int4range": "int4range(1, 2)", "tsvector": "'a b'::tsvector", "bytea": "'\\x00'::bytea",
    "interval": "interval '1 day'", "uuid": "'5b3d1f2e-0000-4000-8000-000000000000'::uuid",
    "inet": "inet '10.0.0.1'", "bit(3)": "b'101'", "money": "1::money", "numeric": "1.0",
    "double precision": "'NaN'::float8", "time with time zone": "timetz '10:00+00'",
    "character(3)": "'a'::character(3)", "name": "'a'::name",
    "macaddr": "macaddr '08:00:2b:01:02:03'",
    "vector(2)": "'[1,2]'::vector(2)", # of an extension
    "jsonpath": "'$.a'::jsonpath", "pg_lsn": "'0/1'::pg_lsn", "xid8": "'1'::xid8",
}  # fmt: skip
# As equal as the type knows, and not the same: of boxes the area, of numbers the value.
_OTHER = {
    "json": "'{\"a\": 2}'::json", "box": "box(point(1, 1), point(2, 2))",
    "path": "path '((0,0),(9,9))'", "circle": "circle '((5,5),1)'", "numeric": "1.00",
    "json[]": "array['[]'::json]", "interval": "interval '24 hours'",
    "vector(2)": "'[1,3]'::vector(2)",
}  # fmt: skip
_MODEL = "models/marts/dim_stations"


def add_columns(made: Checkout, values: dict[str, str]) -> None:
    """Give the small dimension a column of each type."""
    named = {kind: f"c{n}" for n, kind in enumerate(values)}
    columns = "".join(f"        {values[kind]} as {name},\n" for kind, name in named.items())
    first = "        stations.station_id,\n        stations.station_name"
    made.edit(f"{_MODEL}.sql", first, columns + first)
    described = "".join(
        f"      - {{name: {name}, data_type: '{kind}'}}\n" for kind, name in named.items()
    )
    path = made.project / f"{_MODEL}.yml"
    path.write_text(path.read_text().rstrip() + "\n" + described)


def rows(made: Checkout, schema: str, mart: str) -> list[tuple[str]]:
    """All rows with all columns, as text."""
    return made.query(f"select row_to_json(it)::text from {schema}.{mart} as it order by 1")


def test_any_built_in_type_is_published_and_followed(published: Checkout) -> None:
    made = published
    made.execute("create extension vector")
    add_columns(made, _VALUES)
    made.call("run")
    assert rows(made, "published", "dim_stations") == rows(made, "candidate", "dim_stations")
    for kind, value in _OTHER.items():
        made.edit(f"{_MODEL}.sql", f"{_VALUES[kind]} as c", f"{value} as c")
    made.call("run")
    assert rows(made, "published", "dim_stations") == rows(made, "candidate", "dim_stations")
    assert made.changes()["dim_stations"] == (0, 3, 0)
    before = rows(made, "published", "dim_stations")
    made.call("rollback", "--reason", "a test")
    assert rows(made, "published", "dim_stations") != before


def test_what_leads_to_the_delivery_follows_the_active_one_and_is_counted_apart(
    published: Checkout,
) -> None:
    made = published
    header, *lines = files.readings()
    made.deliver([header, *reversed(lines)], DAY)
    digests = made.digests()
    said = made.call("run")
    assert "0 rows inserted, 0 updated, 0 deleted" in said
    assert "72 rows more are as they were, from a newer delivery" in said
    assert made.digests() == digests, "two warehouses may differ in it"
    newest = made.value("select max(delivery_id) from ops.deliveries")
    leads_to = "select distinct _delivery_id from published.fct_readings where reading_date = %s"
    assert made.query(leads_to, DAY) == [(newest,)]
    assert "fct_readings" not in made.call("diff", "--publication", str(made.publications))


def test_a_column_that_begins_with_an_underscore_is_data(published: Checkout) -> None:
    made = published
    path = made.project / f"{_MODEL}.yml"
    path.write_text(path.read_text() + "      - {name: _is_deleted, data_type: boolean}\n")
    first = "        stations.station_id,\n        stations.station_name"
    made.edit(f"{_MODEL}.sql", first, "        false as _is_deleted,\n" + first)
    made.call("run")
    made.edit(f"{_MODEL}.sql", "false as _is_deleted", "true as _is_deleted")
    before = made.digests()
    made.call("run")
    assert made.query("select distinct _is_deleted from published.dim_stations") == [(True,)]
    assert made.changes()["dim_stations"] == (0, 3, 0)
    assert made.digests() != before


def test_what_would_not_be_the_audited_rows_is_rolled_back_whole(due: Checkout) -> None:
    made = due
    for step in ("ingest", "plan", "build", "gate"):
        made.call(step)
    before = made.digests()
    with spoiled(made):
        said = made.call("publish", code=1)
        assert "The mart fct_readings would not hold the rows that were audited" in said
        assert made.digests() == before
    made.call("publish")


@pytest.mark.parametrize("fails", ["fct_readings", "dim_stations"])
def test_a_publication_that_fails_leaves_no_new_mart_behind(empty: Checkout, fails: str) -> None:
    made = empty
    made.list_stations()
    made.land(DAY, DAY + timedelta(1))
    for step in ("ingest", "plan", "build", "gate"):
        made.call(step)
    made.execute(
        "create function public.refuse() returns trigger language plpgsql as"
        f" $$ begin if new.mart = '{fails}' then raise 'no'; end if; return new; end $$;"
        "create trigger refuse before insert on ops.publication_changes"
        " for each row execute function public.refuse()"
    )
    made.call("publish", code=1)
    there = "select tablename from pg_tables where schemaname in ('published', 'history')"
    assert made.query(there) == []
