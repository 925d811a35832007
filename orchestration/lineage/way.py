"""`make lineage`: the way back from a mart, or one of its columns, to the deliveries.

Reads the ledger, the published code's manifest, and the SQL that dbt compiled; has dbt compile it
where it is not there. Writes nothing else. Killed: nothing is left but compiled SQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from psycopg.rows import namedtuple_row
from rich.text import Text
from rich.tree import Tree

from orchestration import console, database
from orchestration.building import build
from orchestration.errors import AirworthyError, UsageError
from orchestration.lineage import columns
from orchestration.lineage.project import Node, Project, recall
from orchestration.planning import fingerprints
from orchestration.settings import Settings

_QUERIES = Path(__file__).parent / "queries"
_SHOWN = 3
_NOTHING = "Nothing was changed."


@dataclass
class _Way:
    """What the tree is drawn from.

    Attributes:
        nodes: by relation.
        origins: of the columns of each model; empty where no column was asked for.
        drawn: what stands in the tree already, and is not drawn again.
    """

    connection: database.Connection
    project: Project
    nodes: dict[str, Node]
    origins: dict[str, columns.Columns] = field(default_factory=dict)
    drawn: set[tuple[str, str]] = field(default_factory=set)


@database.acts_as("auditor")
def way_back(
    settings: Settings, connection: database.Connection, mart: str, column: str | None = None
) -> Tree:
    """The tree from `published.<mart>` down to deliveries and seeds.

    Raises:
        UsageError: there is no such mart or column.
        AirworthyError: nothing is published, or the column's way cannot be told.
    """
    version, project = _published(connection)
    nodes = {n.relation: n for n in project.nodes.values() if n.kind != "test"}
    marts = {relation.partition(".")[2] for relation in nodes if relation.startswith("candidate.")}
    _require(mart, marts, "mart", "MART")
    schema = columns.catalogue(connection)
    way = _Way(connection, project, nodes)
    if column:
        _require(column, schema.get(f"published.{mart}", {}), f"column of {mart}", "COLUMN")
        way.origins = _origins(settings, version, way, schema)
    root = Tree(_label(f"published.{mart}", column or "", "what readers see"))
    _draw(way, root, f"candidate.{mart}", column or "")
    return root


def _published(connection: database.Connection) -> tuple[str, Project]:
    row = connection.execute(
        "select runs.code_version from ops.publications inner join ops.runs"
        " on runs.run_id = coalesce(publications.base_run_id, publications.run_id)"
        " order by publication_id desc limit 1"
    ).fetchone()
    project = recall(connection, row[0]) if row else None
    if row is None or project is None:
        raise AirworthyError(
            "Nothing is published yet.", kept=_NOTHING, todo="Run `make run` first."
        )
    return str(row[0]), project


def _require(name: str, known: Iterable[str], what: str, variable: str) -> None:
    """Raise unless `name` is one of `known`."""
    every = sorted(known)
    if name in every:
        return
    near = get_close_matches(name, every, n=3, cutoff=0.5) or every
    raise UsageError(
        f"There is no {what} {name!r}.",
        kept=_NOTHING,
        todo=f"{variable} may be {', '.join(near)}.",
    )


def _origins(
    settings: Settings, version: str, way: _Way, schema: columns.Schema
) -> dict[str, columns.Columns]:
    if fingerprints.code_version(settings.project) != version:
        raise AirworthyError(
            "The code here is not the published one, so it does not say where a column comes from.",
            kept=_NOTHING,
            todo="Check the published code out, or leave COLUMN out: the way by tables is shown.",
        )
    models = [node for node in way.nodes.values() if node.kind == "model"]
    paths = {node.relation: way.project.compiled(settings, node) for node in models}
    if any(_is_older(paths[node.relation], settings.project / node.path) for node in models):
        with console.progress("lineage", "compiling the models", None):
            build.compile_models(settings)
    there = {relation: path for relation, path in paths.items() if path.exists()}
    return columns.of_models(settings, schema, there)


def _is_older(compiled: Path, source: Path) -> bool:
    return not compiled.exists() or compiled.stat().st_mtime < source.stat().st_mtime


def _draw(way: _Way, above: Tree, relation: str, column: str) -> None:
    """Hang `relation` below, and what it is made of; of one column if one is named."""
    node = way.nodes.get(relation)
    if node is None:
        above.add(_label(relation, column, "not part of this project"))
        return
    said = {"source": "as delivered", "seed": node.path}.get(node.kind, node.form)
    again = (relation, column) in way.drawn
    branch = above.add(_label(relation, column, f"{said}; see above" if again else said))
    way.drawn.add((relation, column))
    if again:
        return
    if node.kind == "source":
        _draw_deliveries(way.connection, branch, node.name)
        return
    sources = way.origins.get(relation, {}).get(column) if column else None
    if sources:
        for origin, name in sources:
            _draw(way, branch, origin, name)
        return
    if column and sources is not None and node.kind == "model":
        branch.add(Text("made of no column: it counts rows, or is the same in all", style="dim"))
    for parent in node.parents:
        if parent in way.project.nodes:
            _draw(way, branch, way.project.nodes[parent].relation, "")


def _draw_deliveries(connection: database.Connection, branch: Tree, source: str) -> None:
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        rows: list[Any] = cursor.execute(
            database.script(_QUERIES, "published"), {"source": source, "most": _SHOWN}
        ).fetchall()
    for row in rows:
        branch.add(
            Text(f"delivery {row.delivery_id}  ", style="bold")
            + Text(
                f"{row.uri}  sha256 {row.sha256[:12]}  contract {row.contract_version}"
                f"  {row.rows_loaded:,} rows, {row.rows_quarantined:,} quarantined"
                f"  taken in {row.recorded_at:%Y-%m-%d %H:%M} UTC",
                style="not bold",
            )
        )
    more = rows[0].deliveries - len(rows) if rows else 0
    if more:
        branch.add(Text(f"{more:,} more, listed in ops.deliveries", style="dim"))


def _label(relation: str, column: str, said: str) -> Text:
    label = Text(relation, style="bold cyan")
    if column:
        label += Text(f".{column}", style="bold")
    return label + Text(f"  {said}", style="dim")
