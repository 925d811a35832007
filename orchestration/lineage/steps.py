"""Events about the steps of runs: build (models and tests), gate, publish, rollback.

Reads the ledger, the kept manifest and what dbt compiled; writes nothing but
`var/lineage/columns.json`.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from orchestration import database
from orchestration.lineage import columns, facets
from orchestration.lineage.events import Facets, Job, Place, end, events, facet, start
from orchestration.lineage.project import Node, Project
from orchestration.lineage.telling import Pending, Telling

_QUERIES = Path(__file__).parent / "queries"
_STATES = {"success": "COMPLETE", "pass": "COMPLETE", "warn": "COMPLETE", "skipped": "ABORT"}
# Events, and how the run ended with them, if it did.
Told = tuple[list[dict[str, Any]], str | None]
_CLOCKS = timedelta(minutes=1)  # by which the warehouse's clock may differ from this machine's


def pending(telling: Telling) -> list[Pending]:
    """The steps of the last runs, in the order in which they ended.

    Each run begins with the first of its steps that is told and ends once: published, blocked or
    superseded. What goes on after that, because somebody built or judged it again, is another run.
    """
    steps = {"build": _build, "gate": _gate, "publish": _publish}
    boundaries: dict[int, int] = {}
    found = []
    for step in telling.rows(database.script(_QUERIES, "pending")):
        so_far = boundaries.get(step.run_id, step.boundaries)
        run = _run(telling.place, step, attempt=so_far // 2)
        told: list[dict[str, Any]] = []
        end_state: str | None = "ABORT"  # what nobody went on with
        if step.what != "end":
            told, end_state = steps[step.what](telling, step, run)
        if told and so_far % 2 == 0:
            told, so_far = [start(run), *told], so_far + 1
        if end_state and so_far % 2 == 1:
            told, so_far = [*told, end(run, end_state)], so_far + 1
        boundaries[step.run_id] = so_far
        found.append(Pending(step.what, step.run_id, None, step.happened_at, told, so_far))
    return found


def _build(telling: Telling, step: Any, run: Job) -> Told:
    project = telling.project(step.code_version)
    if project is None:
        return [], None
    results = telling.rows(
        "select unique_id, status, rows_affected, failures, seconds, message, recorded_at"
        " from ops.build_results where run_id = %s and recorded_at > %s order by unique_id",
        step.run_id, step.told_at,
    )  # fmt: skip
    nodes = [(project.nodes[r.unique_id], r) for r in results if r.unique_id in project.nodes]
    built = [(node, result) for node, result in nodes if node.kind != "test"]
    described = _described(telling, project, [node for node, _ in built], step.build_started_at)
    told: list[dict[str, Any]] = []
    for node, result in built:
        told += _built(telling.place, step, run, project, node, result, described)
    tested: dict[str, list[Any]] = defaultdict(list)
    for node, result in nodes:
        if node.kind == "test" and node.relation:
            tested[node.relation].append((node, result))
    for relation, found in tested.items():
        assertions = [
            facets.assertion(n.name, r.status in ("pass", "success"), "warn" if r.status == "warn"
                       else "error", n.column, str(r.failures) if r.failures is not None else "")
            for n, r in found
        ]  # fmt: skip
        seconds = float(sum(r.seconds or 0 for _, r in found))
        job = _job(
            telling.place, step, run, f"test.{relation}", "TEST", found[0][1].recorded_at, seconds
        )
        told += events(job, inputs=[facets.asserted(telling.place, relation, assertions)])
    return told, None


def _built(
    place: Place, step: Any, run: Job, project: Project, node: Node, result: Any,
    described: dict[str, Facets],
) -> list[dict[str, Any]]:  # fmt: skip
    state = _STATES.get(result.status, "FAIL")
    output = place.table(node.relation, described.get(node.relation, {}))
    if result.rows_affected is not None and result.rows_affected >= 0:
        output["outputFacets"] = {"outputStatistics": facet(
            "OutputStatisticsOutputDatasetFacet", rowCount=result.rows_affected
        )}  # fmt: skip
    job = _job(
        place, step, run, f"build.{node.relation}", "MODEL", result.recorded_at,
        float(result.seconds or 0),
    )  # fmt: skip
    parents = (project.nodes[key] for key in node.parents if key in project.nodes)
    # dbt's text may quote values of rows; the name of what failed is enough.
    error = "" if state != "FAIL" else f"{node.name}: {result.status}"
    return events(
        job, state=state, error=error,
        inputs=[place.table(parent.relation) for parent in parents], outputs=[output],
    )  # fmt: skip


def _described(
    telling: Telling, project: Project, nodes: list[Node], since: datetime | None
) -> dict[str, Facets]:
    """Columns of each relation, and where those of a model come from; as far as is known."""
    schema = columns.catalogue(telling.connection)
    found = {node.relation: facets.schema(schema, node.relation) for node in nodes}
    paths = {}
    for node in nodes:
        path = project.compiled(telling.settings, node)
        if node.kind == "model" and since and _is_left_since(path, since - _CLOCKS):
            paths[node.relation] = path
    for relation, origins in columns.of_models(telling.settings, schema, paths).items():
        found[relation]["columnLineage"] = facets.column_lineage(telling.place, origins)
    return found


def _is_left_since(path: Path, since: datetime) -> bool:
    """Whether this build compiled it: another one, of other code, may have left a file."""
    return path.exists() and path.stat().st_mtime >= since.timestamp()


def _gate(telling: Telling, step: Any, run: Job) -> Told:
    marts = _marts(telling, step)
    checks = telling.rows(
        "select subject, check_name, severity, passed, observed, expected from ops.gate_results"
        " where run_id = %s and kind = 'expectation' order by check_id", step.run_id,
    )  # fmt: skip
    (verdict,) = telling.rows("select passed from ops.verdicts where run_id = %s", step.run_id)
    by_mart: dict[str, list[Facets]] = defaultdict(list)
    for check in checks:
        by_mart[check.subject].append(
            facets.assertion(check.check_name, check.passed,
                       "warn" if check.severity == "warning" else "error", "", check.observed or "",
                       check.expected or "")
        )  # fmt: skip
    inputs = [facets.asserted(telling.place, f"candidate.{mart}", by_mart[mart]) for mart in marts]
    began = step.happened_at if not checks else _built_at(telling, step)
    job = _job(telling.place, step, run, "gate", "GATE", step.happened_at,
               max((step.happened_at - began).total_seconds(), 0))  # fmt: skip
    if verdict.passed:
        return events(job, inputs=inputs), None
    failed = [f"{c.subject}: {c.check_name}" for c in checks if not c.passed]
    error = "; ".join(failed) or "evidence is missing"
    return events(job, state="FAIL", error=error, inputs=inputs), "FAIL"


def _publish(telling: Telling, step: Any, run: Job) -> Told:
    changes = telling.rows(
        "select publication_id, mart, inserted, updated, deleted, rows_after"
        " from ops.publications left join ops.publication_changes using (publication_id)"
        " where run_id = %s order by mart", step.run_id,
    )  # fmt: skip
    schema = columns.catalogue(telling.connection)
    outputs = []
    for change in changes:
        if change.mart is None:
            continue
        relation = f"published.{change.mart}"
        described = facets.schema(schema, relation) | {
            "version": facet("DatasetVersionDatasetFacet",
                             datasetVersion=f"publication:{change.publication_id}"),
            "columnLineage": facets.column_lineage(telling.place, {
                column: [(f"candidate.{change.mart}", column)]
                for column in schema.get(relation, {})
            }),
        }  # fmt: skip
        if step.kind == "rollback":
            del described["columnLineage"]
        written = facet("OutputStatisticsOutputDatasetFacet",
                        rowCount=change.inserted + change.updated)  # fmt: skip
        outputs.append(
            telling.place.table(relation, described, outputFacets={"outputStatistics": written})
        )
    name = "rollback" if step.kind == "rollback" else "publish"
    job = _job(telling.place, step, run, name, "PUBLISH", step.happened_at, 0)
    marts = [] if step.kind == "rollback" else [c.mart for c in changes if c.mart]
    inputs = [telling.place.table(f"candidate.{mart}") for mart in marts]
    return events(job, inputs=inputs, outputs=outputs), "COMPLETE"


def _marts(telling: Telling, step: Any) -> list[str]:
    query = "select name from ops.run_nodes where run_id = %s and is_mart order by name"
    return [row.name for row in telling.rows(query, step.run_id)]


def _built_at(telling: Telling, step: Any) -> datetime:
    query = "select max(recorded_at) as built_at from ops.build_results where run_id = %s"
    (row,) = telling.rows(query, step.run_id)
    built_at: datetime = row.built_at or step.happened_at
    return built_at


def _run(place: Place, step: Any, attempt: int) -> Job:
    which = (step.run_id, attempt) if attempt else (step.run_id,)
    return Job("run", "RUN", place.run_id("run", *which), step.planned_at, step.happened_at,
               _tags(step))  # fmt: skip


def _job(
    place: Place, step: Any, run: Job, name: str, kind: str, ended_at: datetime, seconds: float
) -> Job:
    # What is built or judged again is another run of its job.
    run_id = place.run_id("run", step.run_id, name, ended_at.isoformat())
    return Job(
        name, kind, run_id, ended_at - timedelta(seconds=seconds), ended_at, _tags(step),
        (run.run_id, "run"),
    )  # fmt: skip


def _tags(step: Any) -> dict[str, object]:
    return {"run": step.run_id, "kind": step.kind, "runner": step.runner, "as_of": step.as_of,
            "code_version": step.code_version}  # fmt: skip
