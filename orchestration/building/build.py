"""Step build: `raw` -> staging -> intermediate -> `candidate`, by one dbt invocation in process.

Reads the run's pinned deliveries and partitions; writes the candidate and, through dbt's
on-run-end hook, `ops.build_results`. Killed: the candidate is unfinished and has no evidence, so
no gate passes it; the next run builds the same partitions again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration import console, database
from orchestration.errors import AirworthyError, StaleRun
from orchestration.planning import fingerprints
from orchestration.runs import Run
from orchestration.settings import Settings, exported

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest

GOOD = ("success", "pass", "warn", "no-op")

# Told of each node's start and end: its unique id, and `started` or dbt's word for how it ended.
Listener = Callable[[str, str], None]
STARTED = "started"


@dataclass(frozen=True)
class Built:
    """What dbt did.

    Attributes:
        nodes: how many models, seeds and tests it ran.
        failed: the names of those that failed or were skipped.
        over_budget: a sentence on each model that took more time or rows than its yml allows.
    """

    nodes: int
    failed: tuple[str, ...]
    over_budget: tuple[str, ...] = ()


def parse(settings: Settings, *, write: bool = False) -> Manifest:
    """dbt's manifest of the project; quick when nothing changed since the last call.

    Args:
        write: also as `manifest_path(settings)`, for those who draw the project's graph.

    Raises:
        AirworthyError: the project does not parse.
    """
    result = invoke(
        settings, ["parse", "--quiet", *(["--write-json"] if write else [])], run_id=None
    )
    if not result.success:
        raise AirworthyError(
            f"dbt cannot read the project: {result.exception}",
            kept="Nothing was changed.",
            todo="Correct the file that the message names; `make lint` finds more.",
        )
    manifest: Manifest = result.result  # type: ignore[assignment]
    return manifest


def manifest_path(settings: Settings) -> Path:
    """Where `parse(settings, write=True)` leaves the manifest."""
    return settings.var / "dbt/manifest.json"


@database.acts_as("transformer")
def build(
    settings: Settings,
    connection: database.Connection,
    run: Run,
    manifest: Manifest | None = None,
    listener: Listener | None = None,
    only: Collection[str] | None = None,
) -> Built:
    """Build and test the run's candidate; dbt's failures are evidence, not exceptions.

    Args:
        listener: told of each node as it ends; dbt's own log is printed then.
        only: unique ids; of what the run selected, nothing else is built.

    Raises:
        StaleRun: the run is no longer the current one, or the code is not the planned one.
        AirworthyError: dbt could not start.
    """
    run.require(connection, "planned", "built", "blocked", "passed")
    if fingerprints.code_version(settings.project) != run.code_version:
        raise StaleRun(
            f"The code changed after run {run.run_id} was planned.",
            kept="Nothing was built; the published marts are untouched.",
            todo="Run `make run`; it plans anew with the code as it is.",
        )
    selected = _select(connection, run, only)
    alone = {node: how for node, how in selected.items() if _is_without_model(node, selected)}
    built = {node: how for node, how in selected.items() if node not in alone}
    # Who listens has a log of this step alone, where dbt's own words belong.
    quiet = ["--no-use-colors"] if listener else ["--quiet"]
    outcomes: list[tuple[str, str]] = []
    with console.progress("build", "models and tests", len(selected)) as advance:
        follow = [_follow(advance, listener)]
        # `dbt build` runs unit tests only of models that it builds.
        for verb, nodes in (("build", built), ("test", alone)):
            if nodes:
                asked = [verb, "--indirect-selection", "empty", "--select", *nodes.values(), *quiet]
                result = invoke(settings, asked, run.run_id, manifest, follow)
                outcomes += _outcomes(settings, result)
    run.advance(connection, "built")
    failed = tuple(name for name, status in outcomes if status not in GOOD)
    return Built(len(outcomes), failed, _over_budget(connection, run))


def _outcomes(settings: Settings, result: dbtRunnerResult) -> list[tuple[str, str]]:
    """The name of each node that dbt ran, and how it ended."""
    if result.exception is not None:
        raise AirworthyError(
            f"dbt stopped: {result.exception}",
            kept="The published marts are untouched; the candidate is unfinished.",
            todo=f"See {settings.var / 'logs/dbt.log'} and runbooks/gate-blocked-publish.md.",
        )
    results: Iterable[Any] = getattr(result.result, "results", ())
    return [(item.node.name, str(item.status)) for item in results]


def _is_without_model(unique_id: str, selected: Collection[str]) -> bool:
    """Whether it is a unit test of a model that is not selected, in any version."""
    kind, _, rest = unique_id.partition(".")
    model = f"model.{rest.rpartition('.')[0]}"
    return kind == "unit_test" and not any(
        node == model or node.startswith(f"{model}.v") for node in selected
    )


def _select(
    connection: database.Connection, run: Run, only: Collection[str] | None
) -> dict[str, str]:
    """How dbt is told of each node to build, by unique id; their earlier results are forgotten."""
    query = "select unique_id, selector from ops.run_nodes where run_id = %s order by unique_id"
    selected = dict(connection.execute(query, [run.run_id]).fetchall())
    if only is not None:
        selected = {node: selected[node] for node in selected if node in only}
    connection.execute(
        "delete from ops.build_results where run_id = %s and unique_id = any(%s)",
        [run.run_id, list(selected)],
    )
    return selected


def _over_budget(connection: database.Connection, run: Run) -> tuple[str, ...]:
    rows = connection.execute(
        "select name, seconds, budget_seconds, rows_affected, budget_rows"
        " from ops.budget_breaches where run_id = %s order by seconds desc",
        [run.run_id],
    )
    return tuple(
        f"{name} took {seconds:,} s for {rows:,} rows; its budget is {most:,} s"
        + (f" and {most_rows:,} rows" if most_rows else "")
        for name, seconds, most, rows, most_rows in rows
    )


def compile_models(settings: Settings) -> None:
    """Have the SQL of all models below `var/dbt/compiled`.

    Raises:
        AirworthyError: the project does not compile.
    """
    result = invoke(settings, ["compile", "--quiet"], run_id=None)
    if not result.success:
        raise AirworthyError(
            f"dbt cannot compile the project: {result.exception or 'a model does not compile'}",
            kept="Nothing was changed.",
            todo=f"See {settings.var / 'logs/dbt.log'}.",
        )


def environment(settings: Settings, run_id: int | None) -> dict[str, str]:
    """The variables that lead dbt, started in any process, to the warehouse and to its run."""
    where = database.address(settings)
    mine = {
        "DBT_HOST": where.get("PGHOST", ""),
        "DBT_PORT": where.get("PGPORT", "5432"),
        "DBT_USER": where.get("PGUSER", ""),
        "DBT_DATABASE": where.get("PGDATABASE", ""),
        "DBT_ENV_SECRET_PASSWORD": where.get("PGPASSWORD", ""),
        "DBT_THREADS": str(settings.threads),
        "REQUESTED_BY": settings.requested_by,
        "PGOPTIONS": database.session_options(run_id, "transformer" if run_id else None),
        "DO_NOT_TRACK": "1",
    }
    told = ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD")
    return mine | {name: value for name, value in where.items() if name not in told}


def invoke(
    settings: Settings,
    arguments: list[str],
    run_id: int | None,
    manifest: Manifest | None = None,
    callbacks: list[Any] | None = None,
) -> dbtRunnerResult:
    """What dbt says to `arguments`, in this process.

    Args:
        run_id: the run that it builds for; None sees the live head of the ledger.
        manifest: saves reading the project.
        callbacks: told of each of dbt's events.
    """
    # Imported here: it takes seconds, and a run with nothing to do never needs it.
    from dbt.cli.main import dbtRunner

    runner = dbtRunner(manifest=manifest, callbacks=callbacks or [])
    common = [
        "--target", "prod",
        *([] if "--write-json" in arguments else ["--no-write-json"]),
        "--project-dir", str(settings.project), "--profiles-dir", str(settings.project),
        "--target-path", str(settings.var / "dbt"), "--log-path", str(settings.var / "logs"),
    ]  # fmt: skip
    with exported(environment(settings, run_id)):
        return runner.invoke([*arguments, *common])


def _follow(advance: console.Advance, listener: Listener | None) -> Any:
    def on_event(event: Any) -> None:
        if listener and event.info.name == "NodeStart":
            with suppress(AttributeError):
                listener(event.data.node_info.unique_id, STARTED)
        if event.info.name == "NodeFinished":
            with suppress(AttributeError):
                node = event.data.node_info
                advance(1, node.node_name)
                if listener:
                    listener(node.unique_id, event.data.run_result.status)

    return on_event
