"""Great Expectations in a process of its own: `python -m orchestration.expectations`.

Loading the library takes seconds, so the process is started while dbt builds, and waits. It reads
one line of JSON from standard input ({url, suites: [{mart, query, expectations}]}) and writes one
line per check, then {"done": number of suites}. Without that last line the answer is incomplete.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from orchestration.checks import Check


def main() -> None:
    """Load the library, wait for the suites, answer."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints is no answer
    logging.disable(logging.WARNING)
    import great_expectations as gx

    line = sys.stdin.readline()
    if not line:
        return
    asked = json.loads(line)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_postgres(name="warehouse", connection_string=asked["url"])
    for suite in asked["suites"]:
        asset = source.add_query_asset(suite["mart"], query=suite["query"])
        batch = asset.add_batch_definition("run").get_batch()
        wanted = gx.ExpectationSuite(name=suite["mart"], expectations=suite["expectations"])
        outcome = batch.validate(wanted, result_format="SUMMARY")
        if len(outcome.results) != len(suite["expectations"]):
            raise RuntimeError(f"{suite['mart']}: not every expectation gave a result")
        for check in _checks(suite["mart"], outcome.results):
            print(json.dumps(asdict(check)), file=answers, flush=True)
    print(json.dumps({"done": len(asked["suites"])}), file=answers, flush=True)


def _checks(mart: str, results: list[Any]) -> Iterator[Check]:
    for result in results:
        config, found = result.expectation_config, result.result
        _require_no_exception(mart, result.exception_info)
        kwargs = {k: v for k, v in config.kwargs.items() if k not in ("batch_id", "column")}
        column = config.kwargs.get("column")
        share = found.get("unexpected_percent") or 0  # none where there are no rows
        values = found.get("partial_unexpected_list", [])[:5]
        yield Check(
            kind="expectation",
            subject=mart,
            name=f"{config.type}({column})" if column else config.type,
            severity="warning" if str(config.severity).lower().endswith("warning") else "critical",
            passed=bool(result.success),
            observed=str(found.get("observed_value", f"{share:.2f} % unexpected")),
            expected=", ".join(f"{key} {value}" for key, value in kwargs.items()),
            failing_rows=found.get("unexpected_count"),
            note=str((config.meta or {}).get("notes", "")),
            column=column,
            values=[None if value is None else str(value) for value in values],
        )


def _require_no_exception(mart: str, info: dict[str, Any]) -> None:
    """A check that could not run has not failed but is missing, whatever its severity."""
    nested = [value for value in info.values() if isinstance(value, dict)]
    for each in (info, *nested):
        if each.get("raised_exception"):
            raise RuntimeError(f"{mart}: {each.get('exception_message')}")


if __name__ == "__main__":
    main()
