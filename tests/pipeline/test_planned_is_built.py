"""What is planned is what is built, and rows that nobody asked for are evidence that blocks."""

from __future__ import annotations

from datetime import timedelta

from tests.pipeline.given import DATED, SQL, Project, describe, partitioned
from tests.pipeline.test_changed_code import built
from tests.support.files import DAY

_STAGED = "select reading_date, {column} from {{{{ ref('stg_readings__readings') }}}} {rest}"
_IDIOM = "{% if is_incremental() %} " + DATED + " {% endif %}"
_COUNTED = (
    """
    select reading_date::text as reading_id, reading_date, count(*) as reading_count
    from {{ ref('int_readings') }} """
    + DATED
    + """ group by reading_date
"""
)
_COUNTED_COLUMN = {"name": "reading_count", "data_type": "bigint"}


def intermediate(name: str, column: str = "reading_date", **config: object) -> dict[str, object]:
    """The yml of an incremental model that is no mart and declares nothing."""
    return {"name": name, "config": partitioned(column, schema="intermediate", **config)}


def test_an_incremental_intermediate_model_by_dbts_own_idiom_follows_a_correction(
    project: Project,
) -> None:
    made = project.made
    sql = _STAGED.format(column="station_id", rest=_IDIOM)
    project.add("intermediate/int_readings", intermediate("int_readings"), sql)
    described = describe("agg_readings_daily", partitioned())
    described["columns"].append(_COUNTED_COLUMN)
    project.add("marts/agg_readings_daily", described, _COUNTED)
    made.call("run")
    made.correct()
    made.land(DAY + timedelta(2))
    made.call("run")
    assert made.query(
        "select reading_date, reading_count from published.agg_readings_daily"
        " except select reading_date, count(*) from published.fct_readings group by 1"
    ) == []  # fmt: skip
    assert made.value("select count(*) from published.agg_readings_daily") == 3


def test_rows_outside_the_dates_of_a_run_block_it_and_are_named(project: Project) -> None:
    made = project.made
    sql = "select reading_id, reading_date + 1 as reading_date from {{ ref('fct_readings') }} "
    project.add("marts/shifted", describe("shifted", partitioned()), sql + DATED)
    made.call("run")
    before = made.digests()
    made.land(DAY + timedelta(2))
    said = made.call("run", code=3, COLUMNS="1000")
    assert "shifted: model ran: error" in said
    assert "shifted: 72 rows lie outside the dates that run" in said
    assert (
        f"({made.value('select min(station_id) from published.fct_readings')}-2013-03-11T" in said
    )
    assert made.digests() == before


def test_a_partition_column_that_is_no_date_or_not_there_blocks_the_first_run(
    project: Project,
) -> None:
    by_instant = _STAGED.format(
        column="read_at", rest="where {{ is_in_run_partitions('read_at') }}"
    )
    project.add("intermediate/int_instants", intermediate("int_instants", "read_at"), by_instant)
    by_none = _STAGED.format(
        column="read_at", rest="where {{ is_in_run_partitions('reading_date') }}"
    )
    project.add("intermediate/int_nothing", intermediate("int_nothing", "day"), by_none)
    said = project.made.call("run", code=3, COLUMNS="1000")
    assert "int_instants: partition_column read_at is a date: timestamp with time zone" in said
    assert "int_nothing: partition_column day is a date: no such column" in said


def test_a_model_beside_a_folder_of_its_name_is_built_alone(project: Project) -> None:
    made = project.made
    table = {"materialized": "table"}
    project.add("marts/lab", describe("lab", table), SQL)
    project.add("marts/lab/assay", describe("assay", table), SQL)
    made.call("run")
    assert built(made) == {"lab", "assay"}
    made.edit("models/marts/lab.sql", "select", "select distinct")
    made.call("run")
    assert built(made) == {"lab"}
    ran = (
        "select unique_id from ops.build_results where run_id = (select max(run_id) from ops.runs)"
    )
    planned = ran.replace("build_results", "run_nodes")
    assert made.query(f"{ran} except {planned}") == made.query(f"{planned} except {ran}") == []


def test_what_ran_unasked_blocks(project: Project) -> None:
    made = project.made
    made.land(DAY + timedelta(2))
    for step in ("ingest", "plan", "build"):
        made.call(step)
    made.execute(
        "insert into ops.build_results (run_id, unique_id, status)"
        " select max(run_id), 'model.airworthy.unasked', 'success' from ops.runs"
    )
    said = made.call("gate", code=3)
    assert "model.airworthy.unasked: is planned: it ran unasked: success" in said


def test_event_dates_beside_dates_of_delivery_block_the_first_run_and_rows_are_named(
    project: Project,
) -> None:
    made = project.made
    config = {"materialized": "view", "schema": "staging"}
    staged = (
        "select station || read_at as reading_id, (read_at + interval '1 hour')::date"
        " as reading_date, _delivery_id, _line from {{ source('readings', 'readings') }}"
        " where {{ is_active_delivery('readings') }}"
    )
    project.add("staging/stg_events", {"name": "stg_events", "config": config}, staged)
    sql = "select reading_id, reading_date from {{ ref('stg_events') }} "
    project.add("marts/by_event", describe("by_event", partitioned()), sql + DATED)
    shifted = describe("by_shift", partitioned())
    shifted["columns"].append({"name": "_delivery_id", "data_type": "bigint"})
    sql = SQL.replace("reading_date from", "reading_date - 1 as reading_date, _delivery_id from")
    project.add("marts/by_shift", shifted, sql + DATED)
    before = made.digests()
    said = " ".join(made.call("run", code=3, COLUMNS="2000").split())
    assert 'by_event: 6 rows of "' in said
    assert "have another reading_date than the date that they were delivered for" in said
    assert "by_shift: 144 rows of" in said
    assert "Take the date of the delivery, _slice_date" in said
    assert made.digests() == before
    made.edit("models/staging/stg_events.sql", "(read_at + interval '1 hour')::date", "_slice_date")
    made.edit("models/marts/by_shift.sql", "reading_date - 1 as reading_date", "reading_date")
    made.call("run")
    made.correct()
    made.edit("models/staging/stg_events.sql", "_slice_date", "(_slice_date + 400)::date")
    made.call("run", code=3)
