"""The gate on a whole year: ours, one aggregate query per mart by hand, a default checkpoint."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from benchmarks.__main__ import interleave, table, write
from benchmarks.transform import LOADING
from orchestration import database
from orchestration.auditing import baseline, marts
from orchestration.auditing.auditor import auditor
from orchestration.auditing.gate import gate
from orchestration.building.build import build, parse
from orchestration.ingesting import sample
from orchestration.ingesting.ingest import ingest
from orchestration.planning.plan import due, plan
from orchestration.publishing.publish import publish
from orchestration.runs import Run
from orchestration.settings import Settings, exported

_COUNTED = {
    "expect_column_values_to_be_between": "{c} not between {min_value} and {max_value}",
    "expect_column_values_to_not_be_null": "{c} is null",
    "expect_column_pair_values_a_to_be_greater_than_b": "{column_A} <= {column_B}",
}
_MEASURED = {
    "expect_table_row_count_to_be_between": "count(*)",
    "expect_column_mean_to_be_between": "avg({c})",
    "expect_column_median_to_be_between": "percentile_cont(0.5) within group (order by {c})",
    "expect_column_kl_divergence_to_be_less_than": "(select jsonb_object_agg(v, n) from (select {c}"
    " as v, count(*) as n from candidate.{mart} group by 1) as shares)",
}


def measure(given: Settings) -> None:
    """Publish the year, rebuild it, judge it in each way."""
    sample.land(given)
    with database.connect(given, name="bench") as connection:
        _run(given, connection)
        connection.execute("update ops.publications set code_version = ''")
        connection.execute("update ops.runs set state = 'superseded' where state = 'published'")
        run = _run(given, connection, is_last=True)
        asked = list(_asked(given, connection, run))
        seconds = interleave(
            {
                "step gate": lambda: _ours(given, connection, run),
                "of it, the candidate's digest": lambda: _digest(connection, run),
                "one aggregate query per mart by hand": lambda: _by_hand(given, run, asked),
                "checkpoint, COMPLETE, Data Docs": lambda: _checkpoint(given, run, asked),
            },
            repetitions=3,
        )
    checks = sum(len(suite["expectations"]) for suite in asked)
    write(
        "gate",
        "Gate: a year of flights, in each way",
        f"{checks} expectations on {len(asked)} marts, all rows of 2013, against a published year;"
        " the loading of Great Expectations aside. By hand: what the expectations measure, as"
        " aggregates of one statement per mart (and those that are SQL already, as they are). The"
        " checkpoint judges the same suites as query assets.\n\n"
        + table(seconds, "one aggregate query per mart by hand", checks),
    )


def _run(given: Settings, connection: database.Connection, *, is_last: bool = False) -> Run:
    ingest(given, connection)
    manifest, reason = parse(given), due(given, connection)
    assert reason
    run = plan(given, connection, reason, manifest).run
    assert run
    build(given, connection, run, manifest)
    if not is_last:
        publish(given, connection, gate(given, connection, run))
    return run


def _asked(given: Settings, connection: database.Connection, run: Run) -> Iterator[dict[str, Any]]:
    for mart in marts.of_run(connection, run.run_id):
        path = given.project / f"expectations/{mart.name}.json"
        suite = json.loads(path.read_text(encoding="utf-8"))["expectations"]
        values = baseline.parameters(connection, run, mart, set(baseline.names(suite)))
        yield {"mart": mart.name, "expectations": suite, "parameters": values}


def _ours(given: Settings, connection: database.Connection, run: Run) -> float:
    with auditor(given, connection, run) as ready:
        sleep(LOADING)
        started = perf_counter()
        assert gate(given, connection, run, ready).passed
        return perf_counter() - started


def _digest(connection: database.Connection, run: Run) -> None:
    marts.candidate_digest(connection, run.run_id)


def _by_hand(given: Settings, run: Run, asked: list[dict[str, Any]]) -> float:
    with database.connect(given, run_id=run.run_id, name="bench") as connection:
        started = perf_counter()
        for suite in asked:
            for statement in _statements(suite):
                connection.execute(statement).fetchall()
        return perf_counter() - started


def _statements(suite: dict[str, Any]) -> Iterator[str]:
    mart, measures = suite["mart"], []
    for each in suite["expectations"]:
        words = each["kwargs"] | {"c": each["kwargs"].get("column"), "mart": mart}
        if each["type"] in _COUNTED:
            measures.append(f"count(*) filter (where {_COUNTED[each['type']].format(**words)})")
        elif each["type"] in _MEASURED:
            measures.append(_MEASURED[each["type"]].format(**words))
        else:
            yield words["unexpected_rows_query"].format(batch=f"candidate.{mart}")
    yield f"select {', '.join(measures)} from candidate.{mart}"


def _checkpoint(given: Settings, run: Run, asked: list[dict[str, Any]]) -> float:
    import great_expectations as gx

    logging.disable(logging.WARNING)
    where = database.address(given)
    options = {"PGOPTIONS": database.session_options(run.run_id, "auditor")}
    url = "postgresql+psycopg2://{PGUSER}@{PGHOST}:{PGPORT}/{PGDATABASE}".format(**where)
    with tempfile.TemporaryDirectory() as folder, exported(where | options):
        started = perf_counter()
        context = gx.get_context(mode="file", project_root_dir=Path(folder))
        context.variables.progress_bars = {"globally": False}
        source = context.data_sources.add_postgres(name="warehouse", connection_string=url)
        for suite in asked:
            name = suite["mart"]
            asset = source.add_query_asset(name, query=f"select * from candidate.{name}")
            batch = asset.add_batch_definition("whole")
            expectations = gx.ExpectationSuite(name=name, expectations=suite["expectations"])
            definition = context.validation_definitions.add(
                gx.ValidationDefinition(
                    name=name, data=batch, suite=context.suites.add(expectations)
                )
            )
            checkpoint = gx.Checkpoint(
                name=name,
                validation_definitions=[definition],
                actions=[gx.checkpoint.UpdateDataDocsAction(name="docs")],
                result_format="COMPLETE",
            )
            checkpoint.run(expectation_parameters=suite["parameters"])
        return perf_counter() - started
