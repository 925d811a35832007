"""Step gate: candidate -> verdict.

Reads the evidence that dbt left, the suites in `expectations/` and the candidate; writes
`ops.gate_results`, `ops.verdicts` and the run's state in one transaction. Killed: there is no
verdict, and without one nothing can be published.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from orchestration import console, database, tables
from orchestration.auditing import baseline, evidence, marts
from orchestration.auditing.auditor import Auditor, IncompleteAnswer, auditor
from orchestration.auditing.checks import NO_VALUE, Check, Verdict
from orchestration.auditing.marts import Mart
from orchestration.errors import UsageError
from orchestration.runs import Run
from orchestration.settings import Settings

RUNBOOK = "runbooks/gate-blocked-publish.md"


@database.acts_as("auditor")
def gate(
    settings: Settings, connection: database.Connection, run: Run, ready: Auditor | None = None
) -> Verdict:
    """Judge the run's candidate: complete evidence, and every suite's expectations.

    Args:
        ready: an auditor that was started before, to save its start.
    """
    run.require(connection, "built", "blocked", "passed")
    checks = list(evidence.of_run(connection, run))
    digest = ""
    if all(check.passed or check.severity == "warning" for check in checks):
        digest = marts.candidate_digest(connection, run.run_id)
        checks += _expectations(settings, connection, run, ready)
    passed = all(check.passed or check.severity == "warning" for check in checks)
    verdict = Verdict(run, passed, digest, tuple(checks))
    _record(connection, verdict)
    return verdict


def _expectations(
    settings: Settings, connection: database.Connection, run: Run, ready: Auditor | None
) -> list[Check]:
    of_run = {mart.name: mart for mart in marts.of_run(connection, run.run_id)}
    suites = {mart.name: _suite(settings, mart) for mart in of_run.values()}
    broken = [suite for suite in suites.values() if isinstance(suite, Check)]
    if broken or not suites:
        return broken
    try:
        asked = [
            _question(connection, run, of_run[name], suite)
            for name, suite in suites.items()
            if isinstance(suite, list)
        ]
        found = _ask(settings, connection, run, asked, ready)
    # Whatever breaks inside the library or was asked of it in vain: the gate stays shut.
    except (IncompleteAnswer, UsageError) as error:
        return [
            Check("evidence", "great_expectations", "suites ran", "critical", False, str(error),
                  "results for every suite")
        ]  # fmt: skip
    return [
        check if check.passed else _explain(connection, run, of_run[check.subject], check)
        for check in found
    ]


def _question(
    connection: database.Connection, run: Run, mart: Mart, suite: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the auditor is asked about one mart, with values for what the suite compares with."""
    wanted = set(baseline.names(suite))
    return {
        "schema": "candidate",
        "mart": mart.name,
        "condition": None if mart.condition == "true" else mart.condition,
        "expectations": suite,
        "parameters": baseline.parameters(connection, run, mart, wanted),
    }


def _ask(
    settings: Settings,
    connection: database.Connection,
    run: Run,
    asked: list[dict[str, Any]],
    ready: Auditor | None,
) -> list[Check]:
    total = sum(len(suite["expectations"]) for suite in asked)
    with console.progress("gate", "expectations", total) as advance:

        def count(mart: str) -> None:
            advance(1, mart)

        if ready is not None:
            return ready.judge(asked, count)
        with auditor(settings, connection, run) as started:
            return started.judge(asked, count)


def _explain(connection: database.Connection, run: Run, mart: Mart, check: Check) -> Check:
    """The failed `check` with its owner, partitions, sample rows and what to do about them."""
    if check.observed == NO_VALUE and marts.is_empty(connection, mart):
        check = replace(check, observed="zero rows")
    samples, deliveries = _rows(connection, mart, check)
    listed = ", ".join(map(str, deliveries))
    hint = f"these came with delivery {listed}; `make withdraw` takes one out" if listed else ""
    partitions = marts.dates_of(connection, run.run_id, mart)
    return replace(check, owner=mart.owner, partitions=partitions, samples=samples, hint=hint)


def _rows(connection: database.Connection, mart: Mart, check: Check) -> tuple[list[str], list[int]]:
    """Up to five rows that hold the unexpected values (key = value), and their deliveries."""
    columns = tables.columns_of(connection, "candidate", mart.name)
    if check.column not in columns or not check.values:
        return [*check.samples, *map(str, check.values)], []
    relation = database.relation("candidate", mart.name)
    key = tables.key_of(connection, "candidate", mart.name)
    query = sql.SQL(
        "select concat_ws(' ', {key}) || ' = ' || coalesce({column}::text, 'null'), {delivery}"
        " from {relation} where ({condition}) and ({column}::text = any(%s) or {column} is null"
        " and %s) order by 1 limit 5"
    ).format(
        key=sql.SQL(", ").join(map(sql.Identifier, key)),
        column=sql.Identifier(check.column),
        delivery=sql.SQL("_delivery_id" if "_delivery_id" in columns else "null::bigint"),
        relation=relation,
        condition=sql.SQL(mart.condition),
    )
    values = [value for value in check.values if value is not None]
    rows = connection.execute(query, [values, None in check.values]).fetchall()
    return [text for text, _ in rows], sorted({d for _, d in rows if d is not None})


def _suite(settings: Settings, mart: Mart) -> list[dict[str, Any]] | Check:
    path = settings.project / "expectations" / f"{mart.name}.json"
    try:
        suite = list(json.loads(path.read_text(encoding="utf-8"))["expectations"])
        said = "it holds no expectation"
    except (OSError, ValueError, KeyError, TypeError) as error:
        suite, said = [], str(error)
    return suite or Check(
        "evidence", mart.name, "suite is there", "critical", False, said,
        f"expectations/{mart.name}.json",
    )  # fmt: skip


def _record(connection: database.Connection, verdict: Verdict) -> None:
    run = verdict.run
    with connection.transaction():
        connection.execute("delete from ops.gate_results where run_id = %s", [run.run_id])
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into ops.gate_results (run_id, kind, subject, check_name, severity, passed,"
                " observed, expected, failing_rows, samples, note)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (run.run_id, c.kind, c.subject, c.name, c.severity, c.passed, c.observed,
                     c.expected, c.failing_rows, Jsonb(c.samples), c.note)
                    for c in verdict.checks
                ],
            )  # fmt: skip
        connection.execute(
            "insert into ops.verdicts (run_id, passed, candidate_digest) values (%s, %s, %s)"
            " on conflict (run_id) do update set passed = excluded.passed,"
            " candidate_digest = excluded.candidate_digest, decided_at = now()",
            [run.run_id, verdict.passed, verdict.candidate_digest],
        )
        run.advance(connection, "passed" if verdict.passed else "blocked")


def recall(connection: database.Connection, run: Run) -> Verdict:
    """The verdict that the ledger holds for `run`; one that blocks when there is none."""
    row = connection.execute(
        "select passed, candidate_digest from ops.verdicts where run_id = %s", [run.run_id]
    ).fetchone()
    return Verdict(run, bool(row and row[0]), row[1] if row else "", ())
