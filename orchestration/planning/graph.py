"""What dbt's manifest says about the project, in the planner's nouns.

Reads the manifest, writes nothing.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration import database
from orchestration.manifest import is_mart
from orchestration.planning import refusals

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

Dates = set[date]

BUILT = ("model", "seed")
_TESTS = ("test", "unit_test")


@dataclass(frozen=True)
class Partitioning:
    """How a model's rows belong to dates.

    Attributes:
        column: a date; of a month, its first.
        grain: day or month.
        days_after: how many days after a changed date its rows still depend on it.
    """

    column: str
    grain: str = "day"
    days_after: int = 0

    def reached_by(self, changed: Iterable[date]) -> Dates:
        """The first dates of the partitions that rows of the dates `changed` go into."""
        days = {day + timedelta(n) for day in changed for n in range(self.days_after + 1)}
        return {day.replace(day=1) for day in days} if self.grain == "month" else days

    def last_date(self, first: date) -> date:
        """The last date of the partition that starts at `first`."""
        if self.grain == "day":
            return first
        return first.replace(day=monthrange(first.year, first.month)[1])

    def dates_of(self, partitions: Iterable[date]) -> Dates:
        """All dates in `partitions`, named by their first dates."""
        return {
            first + timedelta(n)
            for first in partitions
            for n in range((self.last_date(first) - first).days + 1)
        }


@dataclass(frozen=True)
class Node:
    """A model, seed, test of its rows, or unit test of its SQL.

    Attributes:
        name: of its relation; for tests its own.
        form: how dbt materialises it; of tests their kind.
        parents: unique ids, sources among them.
        partitioning: None where a changed date may reach any row.
        selector: what tells dbt to build this node alone.
        budget_seconds, budget_rows: what one run may cost; None means no limit.
    """

    unique_id: str
    name: str
    kind: str
    form: str
    schema: str
    parents: tuple[str, ...]
    partitioning: Partitioning | None = None
    is_mart: bool = False
    owner: str | None = None
    selector: str = ""
    budget_seconds: float | None = None
    budget_rows: int | None = None

    @property
    def is_test(self) -> bool:
        return self.kind in _TESTS

    @property
    def is_view(self) -> bool:
        """It holds no rows of its own."""
        return self.form in ("view", "ephemeral")


@dataclass(frozen=True)
class Graph:
    """All nodes, parents first, and the name of each source by its unique id."""

    nodes: tuple[Node, ...]
    sources: dict[str, str]


def read(manifest: Manifest, project: Path, connection: database.Connection | None = None) -> Graph:
    """The project's graph.

    Args:
        connection: where what is published is, which the models must go on with.

    Raises:
        UsageError: the ledger could not keep right what the project asks for.
    """
    refusals.require_none(manifest, project, connection)
    wanted: list[Any] = [
        n for n in manifest.nodes.values() if str(n.resource_type) in (*BUILT, *_TESTS)
    ]
    wanted += manifest.unit_tests.values()
    folders = {tuple(node.fqn[:n]) for node in wanted for n in range(len(node.fqn))}
    nodes = {node.unique_id: _node(node, folders) for node in wanted}
    sources = {source.unique_id: source.identifier for source in manifest.sources.values()}
    return Graph(_parents_first(nodes), sources)


def _node(node: Any, folders: Collection[tuple[str, ...]]) -> Node:
    kind, meta = str(node.resource_type), node.config.meta
    # Versions of a model share its name and differ in their relation's.
    name = node.name if kind in _TESTS else node.alias
    budget = meta.get("budget", {})
    return Node(
        unique_id=node.unique_id,
        name=name,
        kind=kind,
        form=kind if kind in _TESTS else str(node.config.materialized),
        schema=getattr(node, "schema", ""),
        parents=tuple(node.depends_on.nodes) if kind != "seed" else (),
        partitioning=_partitioning(meta) if kind == "model" else None,
        is_mart=is_mart(node),
        owner=getattr(node.config, "group", None),
        selector=_selector(node, folders),
        budget_seconds=budget.get("seconds"),
        budget_rows=budget.get("rows"),
    )


def _selector(node: Any, folders: Collection[tuple[str, ...]]) -> str:
    """What selects the node alone.

    `lab.sql` beside a folder `lab` needs its path as well, and a model with unit tests its kind.
    """
    selector = "fqn:" + ".".join(node.fqn)
    if tuple(node.fqn) not in folders:
        return selector
    return f"{selector},path:{node.original_file_path},resource_type:{node.resource_type}"


def _partitioning(meta: dict[str, Any]) -> Partitioning | None:
    column = meta.get("partition_column")
    if not column:
        return None
    return Partitioning(column, meta.get("partition_grain", "day"), meta.get("days_after", 0))


def _parents_first(nodes: dict[str, Node]) -> tuple[Node, ...]:
    ordered: dict[str, Node] = {}

    def visit(unique_id: str) -> None:
        if unique_id in nodes and unique_id not in ordered:
            for parent in nodes[unique_id].parents:
                visit(parent)
            ordered[unique_id] = nodes[unique_id]

    for unique_id in sorted(nodes):
        visit(unique_id)
    return tuple(ordered.values())
