"""Great Expectations in a process of its own, `python -m orchestration.auditing.expectations`.

Loading the library takes seconds, so the process is started while dbt builds, and waits. It reads
one line of JSON from standard input, a list of {schema, mart, condition, expectations, parameters},
and writes one line per check, then {"done": number of suites}. Without that last line the answer is
incomplete. Writes nothing to the warehouse.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import IO, Any

from orchestration.auditing import baseline
from orchestration.auditing.checks import NO_VALUE, Check

# All measures of a suite in few statements; what fails is asked again, for its rows.
_MEASURES = {"result_format": "BASIC", "partial_unexpected_count": 0}
_ROWS = {"result_format": "SUMMARY", "partial_unexpected_count": 5}
_QUERY = "unexpected_rows_expectation"
_TRIAL: dict[str, Any] = {
    "schema": "pg_catalog",
    "mart": "pg_am",
    "condition": "true",
    "parameters": {},
    "expectations": [
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "amname"}},
        {"type": _QUERY, "kwargs": {"unexpected_rows_query": "select 1 from {batch} limit 0"}},
    ],
}


def main(url: str) -> None:
    """Answer on standard output what standard input asks."""
    answers = sys.stdout
    sys.stdout = io.StringIO()  # whatever a library prints is no answer
    answer(url, sys.stdin, answers)


def answer(url: str, asking: IO[str], answers: IO[str]) -> None:
    """Load the library, wait for the suites, answer."""
    logging.disable(logging.WARNING)
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_postgres(name="warehouse", connection_string=url)
    # Much of the library loads at its first use: better now, while nobody waits.
    for _ in _judge(gx, source, _TRIAL):
        pass
    line = asking.readline()
    if not line:
        return
    suites = json.loads(line)
    for suite in suites:
        for check in _judge(gx, source, suite):
            print(json.dumps(asdict(check)), file=answers, flush=True)
    print(json.dumps({"done": len(suites)}), file=answers, flush=True)


def _judge(gx: Any, source: Any, suite: dict[str, Any]) -> Iterator[Check]:
    mart, condition = suite["mart"], suite["condition"]
    if condition is None:  # a query's rows are fetched, only to learn their columns
        asset = source.add_table_asset(mart, table_name=mart, schema_name=suite["schema"])
    else:
        query = f"select * from {suite['schema']}.{mart} where {condition}"
        asset = source.add_query_asset(mart, query=query)
    batch = asset.add_batch_definition("run").get_batch()

    def results(expectations: list[Any], result_format: Any) -> list[Any]:
        if not expectations:
            return []
        wanted = gx.ExpectationSuite(name=mart, expectations=expectations)
        outcome = batch.validate(
            wanted, result_format=result_format, expectation_parameters=suite["parameters"]
        )
        if len(outcome.results) != len(expectations):
            raise RuntimeError(f"{mart}: not every expectation gave a result")
        return list(outcome.results)

    known = suite["parameters"].keys()
    without = [each for each in suite["expectations"] if set(baseline.names(each)) - known]
    yield from (_without_baseline(mart, each) for each in without)
    asked = [
        each | {"meta": each.get("meta", {}) | {"position": position}}
        for position, each in enumerate(suite["expectations"])
        if each not in without
    ]
    measured = results(asked, _MEASURES)
    for each in measured:
        _require_no_exception(mart, each.exception_info)
    yield from _checks(mart, (each for each in measured if each.success))
    positions = {_position(each.expectation_config) for each in measured if not each.success}
    failed = [each for each in asked if each["meta"]["position"] in positions]
    queries = [each for each in failed if each["type"] == _QUERY]
    yield from _checks(mart, results([each for each in failed if each not in queries], _ROWS))
    yield from _checks(mart, results(queries, "COMPLETE"))


def _position(config: Any) -> int:
    """Of an expectation in its suite: results come in an order of their own."""
    return int(config.meta["position"])


def _without_baseline(mart: str, expectation: dict[str, Any]) -> Check:
    return Check(
        kind="expectation",
        subject=mart,
        name=expectation.get("description") or _name(expectation["type"], expectation["kwargs"]),
        severity=expectation.get("severity", "critical"),
        passed=True,
        observed="not compared: no rows, or none published yet",
        note=expectation.get("meta", {}).get("notes", ""),
    )


def _checks(mart: str, results: Iterable[Any]) -> Iterator[Check]:
    for result in results:
        config, found = result.expectation_config, result.result
        values = found.get("partial_unexpected_list", [])[:5]
        yield Check(
            kind="expectation",
            subject=mart,
            name=config.description or _name(config.type, config.kwargs),
            severity="warning" if str(config.severity).lower().endswith("warning") else "critical",
            passed=bool(result.success),
            observed=_observed(found),
            expected=_expected(config.kwargs),
            failing_rows=found.get("unexpected_count"),
            samples=[_row(row) for row in _rows(found)],
            note=str((config.meta or {}).get("notes", "")),
            column=config.kwargs.get("column"),
            values=[None if value is None else str(value) for value in values],
        )


def _name(kind: str, kwargs: dict[str, Any]) -> str:
    return f"{kind}({kwargs['column']})" if kwargs.get("column") else kind


def _observed(found: dict[str, Any]) -> str:
    share = found.get("unexpected_percent") or 0  # none where there are no rows
    value = found.get("observed_value", f"{share:.2f} % unexpected")
    if value is None:
        return NO_VALUE
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _expected(kwargs: dict[str, Any]) -> str:
    left_out = ("batch_id", "column", "unexpected_rows_query", "partition_object")
    said = [f"{key} {value}" for key, value in kwargs.items() if key not in left_out]
    return ", ".join(said) or "no row"


def _rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    return list((found.get("details") or {}).get("unexpected_rows") or [])[:5]


def _row(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)


def _require_no_exception(mart: str, info: dict[str, Any]) -> None:
    """A check that could not run has not failed but is missing, whatever its severity."""
    nested = [value for value in info.values() if isinstance(value, dict)]
    for each in (info, *nested):
        if each.get("raised_exception"):
            said = str(each.get("exception_message")).partition("\n")[0]
            raise RuntimeError(f"{mart}: {said}")


if __name__ == "__main__":
    main(sys.argv[1])
