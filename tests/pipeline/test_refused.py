"""What the ledger could not keep right is refused at plan: all of it at once, before a build."""

from __future__ import annotations

from typing import Any

from tests.pipeline.given import DATED, SQL, SUITE, Project, describe, partitioned

_REFERRING: dict[str, dict[str, Any]] = {
    "linked": {"type": "foreign_key", "to": "ref('dim_stations')", "to_columns": ["station_id"]},
    "tied": {"type": "custom", "expression": "REFERENCES candidate.dim_stations (station_id)"},
}
_LONG = "reading_of_a_station_at_an_hour_of_a_day_by_an_observer_in_a_region"


def refused(project: Project) -> dict[str, list[str]]:
    """The reasons that `plan` gives, by the model that they are about; it changes nothing."""
    ledger = "select count(*), (select count(*) from ops.publications) from ops.runs"
    before = project.made.query(ledger)
    said = project.made.call("plan", code=2, COLUMNS="1000")
    assert project.made.query(ledger) == before
    assert "what cannot be kept right" in said
    assert "Nothing was planned or built" in said
    lines = [line.strip()[2:] for line in said.splitlines() if line.strip().startswith("- ")]
    reasons: dict[str, list[str]] = {}
    for line in lines:
        name, _, reason = line.partition(": ")
        reasons.setdefault(name, []).append(reason)
    return reasons


def require(reasons: dict[str, list[str]], wanted: dict[str, tuple[str, ...]]) -> None:
    """These models, and no others, for these reasons each."""
    assert reasons.keys() == wanted.keys(), reasons
    for name, words in wanted.items():
        assert len(reasons[name]) == len(words), reasons[name]
        for word in words:
            assert any(word in reason for reason in reasons[name]), (word, reasons[name])


def test_materialisation_strategy_and_filter_must_fit(project: Project) -> None:
    add = project.add
    add("marts/appended", describe("appended", {"materialized": "incremental"}), SQL)
    add("marts/unfiltered", describe("unfiltered", partitioned()), SQL)
    hidden = SQL + f"-- {DATED}\n{{# {DATED} #}}"
    add("marts/commented_out", describe("commented_out", partitioned()), hidden)
    newest = "{% if is_incremental() %} where reading_date > (select max(reading_date) from"
    add(
        "marts/newest",
        describe("newest", partitioned()),
        SQL + newest + " {{ this }}) {% endif %}",
    )
    add("marts/merged", describe("merged", partitioned(incremental_strategy="merge")))
    by_time = {"incremental_strategy": "microbatch", "event_time": "reading_date",
               "batch_size": "day", "begin": "2013-01-01"}  # fmt: skip
    add("marts/batched", describe("batched", partitioned(**by_time)))
    add("marts/shrinking", describe("shrinking", partitioned(materialized="table")))
    add("marts/refreshed", describe("refreshed", {"materialized": "materialized_view"}), SQL)
    for form in ("view", "ephemeral"):
        name = f"int_readings_{form}"
        config = {"materialized": form, "schema": "intermediate"}
        add(f"intermediate/{name}", describe(name, config))
        (project.made.project / f"expectations/{name}.json").unlink()
    require(refused(project), {
        "appended": ("nothing says to which date a row belongs",),
        "unfiltered": ("does not ask for the dates that a run is about",),
        "commented_out": ("does not ask for the dates that a run is about",),
        "newest": ("does not ask for the dates that a run is about",),
        "merged": ("its incremental_strategy is merge",),
        "batched": ("its incremental_strategy is microbatch",),
        "shrinking": ("it is a table, which each run builds anew",),
        "refreshed": ("it is materialised as materialized_view",),
        "int_readings_view": ("a view has no rows of its own",),
        "int_readings_ephemeral": ("an ephemeral model has no rows of its own",),
    })  # fmt: skip


def test_a_partition_column_is_a_declared_date_that_is_never_null(project: Project) -> None:
    columns = describe("", {})["columns"]
    at = {"name": "read_at", "data_type": "timestamp", "constraints": [{"type": "not_null"}]}
    day = {"name": "Day", "data_type": "date", "constraints": [{"type": "not_null"}]}
    nullable = [columns[0], {"name": "reading_date", "data_type": "date"}]
    given: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
        "by_instant": (partitioned("read_at"), [*columns, at]),
        "by_none": (partitioned("day"), columns),
        "by_capital": (partitioned("Day"), [*columns, day]),
        "by_null": (partitioned(), nullable),
        "by_week": (partitioned(meta={"partition_column": "reading_date",
                                      "partition_grain": "week"}), columns),
        "by_window": (partitioned(meta={"partition_column": "reading_date",
                                        "days_after": True}), columns),
        "promised": (partitioned(meta={"partition_column": "reading_date",
                                       "due_after_minutes": "soon"}), columns),
    }  # fmt: skip
    for name, (config, has) in given.items():
        project.add(f"marts/{name}", describe(name, config, columns=has))
    require(refused(project), {
        "by_instant": ("read_at is declared as timestamp",),
        "by_none": ("day is none of its columns: reading_id, reading_date",),
        "by_capital": ("Day is not quoted, so the table has day",),
        "by_null": ("reading_date may be null",),
        "by_week": ("partition_grain 'week' with days_after 0 means nothing",),
        "by_window": ("days_after True means nothing",),
        "promised": ("due_after_minutes 'soon' is no number of minutes",),
    })  # fmt: skip


def test_a_mart_has_rows_a_contract_a_key_a_suite_and_possible_names(project: Project) -> None:
    columns = describe("", {})["columns"]
    table = {"materialized": "table"}
    project.add("marts/seen", describe("seen", {"materialized": "view"}), SQL)
    project.add("marts/loose", describe("loose", table | {"contract": {"enforced": False}}), SQL)
    keyless = [{"name": c["name"], "data_type": c["data_type"]} for c in columns]
    project.add("marts/keyless", describe("keyless", table, columns=keyless), SQL)
    project.add("marts/unsuited", describe("unsuited", table), SQL)
    (project.made.project / "expectations/unsuited.json").unlink()
    changed = [*columns, {"name": "_change", "data_type": "text"}]
    project.add("marts/changing", describe("changing", table, columns=changed), SQL)
    project.add(f"marts/{_LONG}", describe(_LONG, table), SQL)
    for name, refers in _REFERRING.items():
        key = columns[0] | {"constraints": [*columns[0]["constraints"], refers]}
        project.add(f"marts/{name}", describe(name, table, columns=[key, columns[1]]), SQL)
    project.add("marts/open", describe("open", table | {"grants": {"insert": ["all"]}}), SQL)
    require(refused(project), {
        "seen": ("as a view has no rows to audit",),
        "loose": ("without an enforced contract",),
        "keyless": ("without a primary key",),
        "unsuited": ("Say in expectations/unsuited.json",),
        "changing": ("its column _change has a name",),
        _LONG: ("is longer than 63 bytes",),
        "linked": ("it has a foreign key, which vanishes",),
        "tied": ("it has a foreign key, which vanishes",),
        "open": ("it grants insert",),
    })  # fmt: skip


def test_nothing_is_built_where_nobody_looks_and_no_name_stands_for_two(project: Project) -> None:
    table = {"materialized": "table"}
    project.add("reporting/homeless", describe("homeless", table), SQL)
    project.add("marts/elsewhere", describe("elsewhere", table | {"schema": "reporting"}), SQL)
    project.add("marts/intruder", describe("intruder", table | {"schema": "published"}), SQL)
    twice = table | {"alias": "twice"}
    project.add("marts/one", describe("one", twice), SQL)
    project.add("intermediate/two", describe("two", twice | {"schema": "intermediate"}), SQL)
    project.write("expectations/twice.json", SUITE)
    project.write("snapshots/kept.sql", "{% snapshot kept %}{{ config(strategy='check',"
                  " unique_key='station_id', check_cols='all') }}"
                  " select * from {{ ref('dim_stations') }}{% endsnapshot %}")  # fmt: skip
    require(refused(project), {
        "homeless": ("lies in none of the folders",),
        "elsewhere": ("built in schema reporting, where nobody audits",),
        "intruder": ("it would be built in schema published", "built in schema published"),
        "twice": ("models/intermediate/two.sql, models/marts/one.sql",),
        "kept": ("a snapshot records when it happened to run",),
    })  # fmt: skip


def test_a_refused_backfill_says_the_same(project: Project) -> None:
    project.add("marts/unfiltered", describe("unfiltered", partitioned()), SQL)
    asked = ("backfill", "--start", "2013-03-09", "--end", "2013-03-10")
    assert "unfiltered: its SQL does not ask" in project.made.call(*asked, code=2, COLUMNS="1000")


def test_a_shape_that_readers_would_not_survive_is_refused_before_the_build(
    project: Project,
) -> None:
    made = project.made
    made.execute("create type public.mood as enum ('sad', 'ok'); create domain public.d as text")
    daily = "models/marts/agg_stations_daily.yml"
    made.edit(daily, "columns: [station_id, reading_date]",
              "columns: [station_id, reading_date, reading_count]")  # fmt: skip
    made.edit(daily, "data_type: numeric", "data_type: double precision")
    made.edit("models/marts/fct_readings.yml", "name: observer", "name: watcher")
    for kind in ("public.mood", "public.d", "public.mood[]"):
        name = f"of_{kind.strip('[]').split('.')[1]}{len(kind)}"
        columns = describe("", {})["columns"]
        own = [*columns, {"name": "mine", "data_type": kind}]
        project.add(f"marts/{name}", describe(name, {"materialized": "table"}, columns=own), SQL)
    require(refused(project), {
        "agg_stations_daily": (
            "rain_millimetres dropped or retyped",
            "its primary key is (reading_count, reading_date, station_id)",
        ),
        "fct_readings": ("observer dropped or retyped",),
        "of_mood11": ("its column mine is of type mood",),
        "of_d8": ("its column mine is of type d",),
        "of_mood13": ("its column mine is of type mood[]",),
    })  # fmt: skip
