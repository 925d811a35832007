"""A published mart has the shape that its yml says: constraints, indexes, comments, readers."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import yaml

from orchestration import tables
from tests.publish.given import spoiled
from tests.support import files
from tests.support.checkout import Checkout

_MODEL = "models/marts/dim_stations"
_DOCS = {"persist_docs": {"relation": True, "columns": True}}


def describe(made: Checkout, mart: str = "dim_stations", **more: Any) -> None:
    """Add to the yml of a mart: `columns` by name, the rest to the model itself."""
    path = made.project / f"models/marts/{mart}.yml"
    content = yaml.safe_load(path.read_text())
    (model,) = content["models"]
    for name, said in more.pop("columns", {}).items():
        known = next((c for c in model["columns"] if c["name"] == name), None)
        if known is None:
            model["columns"].append({"name": name} | said)
        else:
            known.update(said)
    config = model.setdefault("config", {})
    config.update(_DOCS | more.pop("config", {}))
    model.update(more)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def make_role(made: Checkout, name: str) -> None:
    """Roles belong to the server: another test's database may have made it before."""
    made.execute(
        f"do $$ begin create role {name}; exception when duplicate_object then null; end $$"
    )


def shape(made: Checkout, mart: str = "dim_stations", schema: str = "published") -> dict[str, Any]:
    return dict(made.value(f"select ops.shape_of('{schema}.{mart}')"))


def test_constraints_indexes_comments_and_readers_follow_the_yml(published: Checkout) -> None:
    made = published
    make_role(made, "shape_bi")
    rows = made.digests()
    path = made.project / f"{_MODEL}.yml"
    yml = path.read_text()
    describe(
        made,
        description="All stations; the newest word on each.",
        constraints=[
            {"type": "check", "expression": "length(station_id) > 0"},
            {"type": "unique", "columns": ["station_name"]},
        ],
        columns={"station_name": {"description": "As the provider writes it.", "constraints": []}},
        config={"indexes": [{"columns": ["station_name", "station_id"], "unique": True}],
                "grants": {"select": ["shape_bi"]}},
    )  # fmt: skip
    said = made.call("run")
    assert "dim_stations: columns or constraints change" in said
    assert "60 s at most" in said
    found = shape(made)
    assert found == shape(made, schema="candidate")
    assert found["constraints"] == ["CHECK ((length(station_id) > 0))", "UNIQUE (station_name)"]
    assert found["indexes"] == ["UNIQUE USING btree (station_name, station_id)"]
    assert found["comments"][""] == "All stations; the newest word on each."
    assert found["comments"]["station_name"] == "As the provider writes it."
    assert "station_name" not in found["not_null"]
    assert found["readers"] == ["shape_bi"]
    assert made.digests() == rows
    assert "agg_stations_daily" not in made.changes(), "what reads it is not built anew"

    path.write_text(yml)
    made.call("run")
    assert shape(made)["constraints"] == []
    assert shape(made)["indexes"] == []
    assert shape(made)["readers"] == []
    assert "station_name" in shape(made)["not_null"]
    assert made.digests() == rows


def test_what_others_made_on_a_published_mart_stays(published: Checkout) -> None:
    made = published
    make_role(made, "shape_friend")
    made.execute(
        "grant select on published.dim_stations to shape_friend;"
        "create index by_hand on published.dim_stations (station_name);"
        "create view public.of_stations as select * from published.dim_stations"
    )
    describe(made, config={"indexes": [{"columns": ["station_name"], "type": "hash"}]})
    made.call("run")
    describe(made, config={"indexes": []}, description="Other words.")
    made.call("run")
    assert shape(made)["indexes"] == ["USING btree (station_name)"]
    assert shape(made)["readers"] == ["shape_friend"]
    assert made.value("select count(*) from public.of_stations") == 3


def test_a_description_alone_reaches_readers_of_an_incremental_mart(published: Checkout) -> None:
    made = published
    rows = made.digests()
    describe(made, "fct_readings", columns={"observer": {"description": "Who read it."}})
    said = made.call("run")
    assert "0 rows inserted, 0 updated, 0 deleted" in said
    assert shape(made, "fct_readings")["comments"]["observer"] == "Who read it."
    assert "readers wait" not in said
    assert made.digests() == rows
    assert "nothing new" in made.call("run")


def test_odd_shapes_of_an_incremental_mart_come_and_go(published: Checkout) -> None:
    made, mart = published, "fct_readings"
    path = made.project / f"models/marts/{mart}.yml"
    yml, before = path.read_text(), shape(made, mart)
    describe(
        made, mart,
        constraints=[
            {"type": "custom", "expression": "unique nulls not distinct (station_id, read_at)"},
            {"type": "check", "expression": "coalesce(observer, '') not like '%;%'",
             "name": "odd"},
        ],
        config={
            "indexes": [{"columns": ["observer"], "type": "hash"}],
            "post-hook": "create index if not exists \"a USING b\" on candidate.fct_readings"
                         " (upper(observer)) where observer <> 'x'",
            "grants": {"select": ["public"]},
        },
    )  # fmt: skip
    made.call("run")
    found = shape(made, mart)
    assert found == shape(made, mart, "candidate") | {"readers": ["public"]}
    assert "UNIQUE NULLS NOT DISTINCT (station_id, read_at)" in found["constraints"]
    assert len(found["indexes"]) == len(before["indexes"]) + 2
    # Changed rows are deleted and inserted again, because there is another unique key.
    header, *rows = files.readings()
    first, second = (row.split(",") for row in rows[:2])
    at = header.split(",").index("observer")
    first[at], second[at] = "eve", "bob"
    made.deliver([header, ",".join(first), ",".join(second), *rows[2:]])
    made.call("run")
    path.write_text(yml)
    made.call("run")
    assert shape(made, mart) == before


def test_a_shape_that_chunks_of_a_backfill_left_as_it_was_is_followed_by_the_next_run(
    published: Checkout,
) -> None:
    made = published
    describe(made, "fct_readings", config={"indexes": [{"columns": ["observer"]}]})
    made.edit("models/marts/fct_readings.sql", "select\n", "select\n    1 as one,\n")
    describe(made, "fct_readings", columns={"one": {"data_type": "integer"}})
    first, last = str(files.DAY), str(files.DAY + timedelta(1))
    made.call("backfill", "--start", first, "--end", last, "--chunk", "1d", "--reason", "a test")
    assert made.value("select count(*) from published.fct_readings where one is null") == 0
    made.call("run")
    assert shape(made, "fct_readings")["indexes"] == ["USING btree (observer)"]
    assert made.has_nothing_to_do()


def test_unique_values_that_swap_rows_are_published(published: Checkout) -> None:
    made = published
    describe(made, config={"indexes": [{"columns": ["station_name"], "unique": True}]},
             constraints=[{"type": "unique", "columns": ["station_name"]}])  # fmt: skip
    made.call("run")
    before = made.query("select station_id, station_name from published.dim_stations order by 1")
    (first, one), (second, other), *_ = before
    swapped = (
        f"case stations.station_id when '{first}' then '{other}' when '{second}' then '{one}'"
        " else stations.station_name end as station_name"
    )
    made.edit(f"{_MODEL}.sql", "        stations.station_name", f"        {swapped}")
    made.call("run")
    assert made.changes()["dim_stations"] == (0, 2, 0)
    found: dict[str, str] = dict(
        made.query("select station_id, station_name from published.dim_stations")
    )
    assert (found[first], found[second]) == (other, one)
    made.call("rollback", "--reason", "a test")
    assert before == made.query(
        "select station_id, station_name from published.dim_stations order by 1"
    )


def test_a_rollback_gives_back_the_shape_but_not_who_may_read(published: Checkout) -> None:
    made = published
    make_role(made, "shape_left")
    describe(made, config={"grants": {"select": ["shape_left"]}})
    made.call("run")
    granted, loose = made.publications, shape(made)
    describe(
        made, config={"grants": {"select": []}},
        constraints=[{"type": "unique", "columns": ["station_name"]}],
        columns={"station_name": {"constraints": []}},
    )  # fmt: skip
    made.call("run")
    assert shape(made) != loose
    made.call("rollback", "--to", str(granted), "--reason", "a test")
    assert shape(made) == loose | {"readers": []}
    assert "nothing" not in made.call("resume", "--reason", "a test")
    made.call("run")
    assert shape(made)["constraints"] == ["UNIQUE (station_name)"]


def test_a_new_column_is_not_seen_before_its_rows_and_not_after_a_failure(
    due: Checkout,
) -> None:
    made = due
    made.edit("models/marts/fct_readings.sql", "select\n", "select\n    1 as one,\n")
    describe(made, "fct_readings", columns={"one": {"data_type": "integer"}})
    for step in ("ingest", "plan", "build", "gate"):
        made.call(step)
    before = shape(made, "fct_readings")
    with spoiled(made):
        made.call("publish", code=1)
        assert shape(made, "fct_readings") == before
        assert "one" not in columns(made)
    made.call("publish")
    assert "one" in columns(made)


def columns(made: Checkout) -> list[str]:
    with made.connect() as connection:
        return [*tables.columns_of(connection, "published", "fct_readings")]


def test_a_reader_in_the_way_is_waited_for_and_readers_wait_no_longer_than_allowed(
    published: Checkout,
) -> None:
    made = published
    describe(made, constraints=[{"type": "check", "expression": "length(station_id) > 0"}])
    run = made.start("run")
    with made.connect() as reader, reader.transaction():
        reader.execute("select count(*) from published.dim_stations")
        while "readers wait" not in run.said:
            time.sleep(0.1)
        time.sleep(2)
    assert run.wait() == 0, run.said
    assert len(shape(made)["constraints"]) == 1

    # A trigger that sleeps stands for a large mart.
    made.execute(
        "create function public.slow() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(5); return new; end $$;"
        "create trigger slow before update on published.dim_stations"
        " for each row execute function public.slow()"
    )
    describe(made, constraints=[])
    made.edit(
        f"{_MODEL}.sql", "stations.station_name", "stations.station_name || '!' as station_name"
    )
    rows = made.digests()
    began = time.monotonic()
    said = made.call("run", code=1, READERS_WAIT_SECONDS="2")
    assert "Readers of dim_stations would have waited longer than 2 s" in said
    assert time.monotonic() - began < 15
    assert made.digests() == rows
    assert len(shape(made)["constraints"]) == 1
    made.execute("drop trigger slow on published.dim_stations")
    made.call("run")
    assert shape(made)["constraints"] == []


def test_columns_may_have_the_names_that_we_use_ourselves(published: Checkout) -> None:
    made = published
    names = ["change", "publication_id", "p", "c", "h", "e", "old", "new", "gone", "changed",
             "changes", "later", "is_lineage", "earliest", "before", "after", "mart",
             "columns", "condition", "key", "shape", "tested"]  # fmt: skip
    first = "        stations.station_id,\n        stations.station_name"
    listed = "".join(f"        'a' as {name},\n" for name in names)
    made.edit(f"{_MODEL}.sql", first, listed + first)
    describe(made, columns={name: {"data_type": "text"} for name in names})
    made.call("run")
    made.edit(f"{_MODEL}.sql", "'a' as", "'b' as")
    made.call("run")
    assert made.changes()["dim_stations"] == (0, 3, 0)
    assert "3 updates" in made.call("diff", "--publication", str(made.publications))
    made.call("rollback", "--reason", "a test")
    assert made.query("select distinct p, change from published.dim_stations") == [("a", "a")]
