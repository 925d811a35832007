"""What a run rebuilds when models, macros, seeds, tests or budgets change."""

from __future__ import annotations

from tests.support.checkout import Checkout

FACTS, DAILY = "models/marts/fct_readings", "models/marts/agg_stations_daily"


def built(made: Checkout) -> set[str]:
    """The models and seeds of the newest run."""
    rows = made.query(
        "select name from ops.run_nodes where resource_type in ('model', 'seed')"
        " and run_id = (select max(run_id) from ops.runs)"
    )
    return {name for (name,) in rows}


def test_a_comment_rebuilds_nothing_and_is_looked_at_once(published: Checkout) -> None:
    published.edit(f"{FACTS}.sql", "with\n", "-- a comment\n\nwith\n")
    published.edit(f"{FACTS}.yml", "Station and hour.", "The station and the hour.")
    assert "no model can have changed" in published.call("run")
    assert published.publications == 2
    assert published.query("select state from ops.runs order by run_id") == [
        ("published",), ("published",), ("skipped",)
    ]  # fmt: skip
    assert published.has_nothing_to_do()


def test_a_model_a_macro_and_a_seed_rebuild_what_hangs_on_them(wide: Checkout) -> None:
    wide.edit(f"{DAILY}.sql", "        station_id,\n        count",
              "        upper(station_id) as station_id,\n        count")  # fmt: skip
    wide.call("run")
    assert built(wide) == {"agg_stations_daily", "agg_stations_rolling", "agg_floods_daily"}
    wide.edit("macros/measures/divide.sql", ", 6)", ", 3)")
    wide.call("run")
    assert built(wide) == {"agg_stations_rolling"}
    wide.edit("models/staging/gauges/stg_gauges__levels.sql", " level as", " -level as")
    wide.edit("seeds/regions.csv", "South", "Süden")
    shown = [line.strip().split(maxsplit=2) for line in wide.call("plan").splitlines()]
    assert ["regions", "everything", "its content changed"] in shown
    assert ["dim_stations", "everything", "regions changed"] in shown
    assert ["stg_gauges__levels", "everything", "its SQL changed"] in shown
    both = "dim_stations, stg_gauges__levels changed"
    assert ["agg_floods_daily", "everything", both] in shown
    assert ["dim_stations_history", "nothing", "nothing it reads changed"] in shown


def test_a_new_test_runs_without_a_rebuild_and_blocks_if_it_fails(published: Checkout) -> None:
    path = published.project / "tests/data_tests/singular/assert_nobody_reads.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("select reading_id from {{ ref('fct_readings') }}\n")
    assert "assert_nobody_reads: test ran: fail" in published.call("run", code=3)
    assert built(published) == set()
    path.write_text("select reading_id from {{ ref('fct_readings') }} where false\n")
    published.call("run")
    assert published.publications == 3
    changed = "select count(*) from ops.publication_changes where publication_id = 3"
    assert published.value(changed) == 0
    assert published.has_nothing_to_do()


def test_a_model_that_breaks_its_contract_publishes_nothing(published: Checkout) -> None:
    before = published.digests()
    published.edit("models/marts/dim_stations.sql", "        stations.station_name,",
                   "        17 as station_name,")  # fmt: skip
    said = published.call("run", code=3)
    assert "dim_stations: model ran: error" in said
    assert "enforced contract" in said
    assert published.digests() == before


def test_over_budget_is_a_warning(published: Checkout) -> None:
    published.edit(f"{FACTS}.yml", "rows: 100000", "rows: 100")
    published.edit(f"{FACTS}.sql", ">= 10", ">= 9")
    said = published.call("run")
    assert published.publications == 3
    assert "warning: fct_readings took " in said
    assert "for 144 rows; its budget is 10 s and 100 rows" in said


def test_changed_code_rebuilds_everything_and_what_was_not_published_leaves_no_trace(
    published: Checkout,
) -> None:
    back = published.edit(f"{FACTS}.sql", ">= 10", ">= 3")
    published.call("run")
    inserted, updated, deleted = published.changes()["fct_readings"]
    assert (inserted, deleted) == (0, 0)
    assert updated > 0
    assert published.value("select bool_and(is_wet = (rain_millimetres >= 3))"
                           " from published.fct_readings")  # fmt: skip
    # A change that the gate blocks, taken back: the candidate must not keep its traces.
    before = published.digests()
    back()
    undo = published.edit(f"{FACTS}.sql", "        temperature_degrees,\n        rain_millimetres,",
                          "        temperature_degrees + 100 as temperature_degrees,\n"
                          "        rain_millimetres,")  # fmt: skip
    published.call("run", code=3)
    assert published.value("select min(temperature_degrees) > 60 from candidate.fct_readings")
    assert published.digests() == before
    undo()
    published.call("run")
    for schema in ("candidate", "published"):
        rows = f"select count(*), max(temperature_degrees) < 60 from {schema}.fct_readings"
        assert published.query(rows) == [(144, True)]
    assert published.value("select bool_and(is_wet = (rain_millimetres >= 10))"
                           " from published.fct_readings")  # fmt: skip
