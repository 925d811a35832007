"""Step gate: candidate -> verdict.

Reads the evidence that dbt left, the suites in `expectations/` and the candidate; writes
`ops.gate_results`, `ops.verdicts` and the run's state in one transaction. Killed: there is no
verdict, and without one nothing can be published.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from psycopg.types.json import Jsonb

from orchestration import console, database, marts
from orchestration.marts import Mart
from orchestration.runs import Run
from orchestration.settings import Settings, exported

RUNBOOK = "runbooks/gate-blocked.md"


@dataclass(frozen=True)
class Check:
    """One thing that was checked, and what came of it."""

    kind: str
    subject: str
    name: str
    severity: str
    passed: bool
    observed: str = ""
    expected: str = ""
    failing_rows: int | None = None
    samples: list[Any] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """The gate's word on exactly the candidate rows that `candidate_digest` stands for."""

    run: Run
    passed: bool
    candidate_digest: str
    checks: tuple[Check, ...]

    @property
    def blocking(self) -> list[Check]:
        """What stands in the way, causes before what was skipped because of them."""
        blocking = [c for c in self.checks if not c.passed and c.severity == "critical"]
        return sorted(blocking, key=lambda c: c.observed == "skipped")

    @property
    def warnings(self) -> list[Check]:
        return [c for c in self.checks if not c.passed and c.severity == "warning"]


@database.acts_as("auditor")
def gate(settings: Settings, connection: database.Connection, run: Run) -> Verdict:
    """Judge the run's candidate: complete evidence, and every suite's expectations."""
    run.require(connection, "built", "blocked", "passed")
    checks = list(_evidence(connection, run))
    digest = ""
    if all(check.passed or check.severity == "warning" for check in checks):
        digest = marts.candidate_digest(connection, run.run_id)
        checks += _expectations(settings, connection, run)
    passed = all(check.passed or check.severity == "warning" for check in checks)
    verdict = Verdict(run, passed, digest, tuple(checks))
    _record(connection, verdict)
    return verdict


def _evidence(connection: database.Connection, run: Run) -> Iterator[Check]:
    rows = connection.execute(
        "select nodes.name, nodes.resource_type, results.status, results.failures, results.message"
        " from ops.run_nodes as nodes left join ops.build_results as results"
        " using (run_id, unique_id) where nodes.run_id = %s order by nodes.name",
        [run.run_id],
    ).fetchall()
    if not rows:
        yield Check("evidence", "dbt", "nodes", "critical", False, "none", "at least one")
    for name, kind, status, failures, message in rows:
        severity = "warning" if status == "warn" else "critical"
        passed = status in ("success", "pass")
        yield Check(
            "evidence", name, f"{kind} ran", severity, passed, status or "no result",
            "success or pass", failures, note="" if passed else (message or ""),
        )  # fmt: skip


def _expectations(settings: Settings, connection: database.Connection, run: Run) -> list[Check]:
    of_run = marts.of_run(connection, run.run_id)
    suites = [(mart, _suite(settings, mart)) for mart in of_run]
    broken = [suite for _, suite in suites if isinstance(suite, Check)]
    if broken:
        return broken
    try:
        return list(_validate(settings, connection, run, suites))
    except Exception as error:  # whatever breaks inside the library, the gate stays shut
        return [
            Check("evidence", "great_expectations", "suites ran", "critical", False,
                  f"{type(error).__name__}: {error}"[:500], "results for every suite")
        ]  # fmt: skip


def _suite(settings: Settings, mart: Mart) -> dict[str, Any] | Check:
    path = settings.project / "expectations" / f"{mart.name}.json"
    try:
        suite: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = len(suite["expectations"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        found, suite = 0, {"error": str(error)}
    if found:
        return suite
    return Check(
        "evidence", mart.name, "suite is there", "critical", False,
        suite.get("error", "it holds no expectation"), f"expectations/{mart.name}.json",
    )  # fmt: skip


def _validate(
    settings: Settings,
    connection: database.Connection,
    run: Run,
    suites: list[tuple[Mart, dict[str, Any] | Check]],
) -> Iterator[Check]:
    where = database.address(settings) | {
        "PGOPTIONS": database.session_options(run.run_id, "auditor"),
        "GX_ANALYTICS_ENABLED": "false",
    }
    with (
        exported(where),
        console.quiet_logging(),
        console.progress("gate", "expectations", len(suites)) as advance,
    ):
        # Imported here: it takes seconds, and a blocked or empty run never needs it.
        import great_expectations as gx

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        source = context.data_sources.add_postgres(
            name="warehouse", connection_string=_url(connection)
        )
        for mart, content in suites:
            assert isinstance(content, dict)
            query = f"select * from candidate.{mart.name} where {mart.condition}"
            asset = source.add_query_asset(mart.name, query=query)
            suite = gx.ExpectationSuite(name=mart.name, expectations=content["expectations"])
            batch = asset.add_batch_definition("run").get_batch()
            outcome = batch.validate(suite, result_format="SUMMARY")
            if len(outcome.results) != len(content["expectations"]):
                raise RuntimeError(f"{mart.name}: not every expectation gave a result")
            yield from (_check(mart, result) for result in outcome.results)
            advance(1, mart.name)


def _url(connection: database.Connection) -> str:
    """Where the warehouse is, without the password: that reaches libpq through its variables."""
    info = connection.info
    user, name = quote(info.user, safe=""), quote(info.dbname, safe="")
    if info.host.startswith("/"):
        return f"postgresql+psycopg2://{user}@localhost:{info.port}/{name}?host={info.host}"
    return f"postgresql+psycopg2://{user}@{info.host}:{info.port}/{name}"


def _check(mart: Mart, result: Any) -> Check:
    config, found = result.expectation_config, result.result
    _require_no_exception(mart, result.exception_info)
    kwargs = {k: v for k, v in config.kwargs.items() if k not in ("batch_id", "column")}
    column = config.kwargs.get("column")
    share = found.get("unexpected_percent") or 0  # none where there are no rows
    observed = found.get("observed_value", f"{share:.2f} % unexpected")
    return Check(
        kind="expectation",
        subject=mart.name,
        name=f"{config.type}({column})" if column else config.type,
        severity="warning" if str(config.severity).lower().endswith("warning") else "critical",
        passed=bool(result.success),
        observed=str(observed),
        expected=", ".join(f"{key} {value}" for key, value in kwargs.items()),
        failing_rows=found.get("unexpected_count"),
        samples=[str(value) for value in found.get("partial_unexpected_list", [])[:5]],
        note=str((config.meta or {}).get("notes", "")),
    )


def _require_no_exception(mart: Mart, info: dict[str, Any]) -> None:
    """A check that could not run has not failed but is missing, whatever its severity."""
    nested = [value for value in info.values() if isinstance(value, dict)]
    for each in (info, *nested):
        if each.get("raised_exception"):
            raise RuntimeError(f"{mart.name}: {each.get('exception_message')}")


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
