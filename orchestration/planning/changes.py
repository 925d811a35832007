"""What differs between what is published and what is there now: deliveries, code, lost tables.

Reads the ledger and the catalogue; writes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date

from orchestration import database
from orchestration.planning import code_changes, graph
from orchestration.planning.fingerprints import Fingerprint
from orchestration.planning.graph import Dates, Graph
from orchestration.planning.reach import Changes
from orchestration.planning.standing import Standing, days_of

_UNPUBLISHED = """
    select distinct {what} from {table} as mine inner join ops.runs using (run_id)
    where
        run_id > %(base)s and build_started_at is not null
        and run_id <> all (%(layers)s) and run_id <> all (%(apart)s)
        and {condition}
        and not exists (
            select from {table} as later
            where later.run_id > mine.run_id and {settled} and {same}
        )
"""
_PENDING_PARTITIONS = _UNPUBLISHED.format(
    table="ops.run_partitions",
    what="model, partition_date",
    condition="taken_back_at is null",
    settled="(later.run_id = any (%(layers)s) or exists (select from ops.runs as back"
    " where back.run_id = later.run_id and back.taken_back_at is not null))",
    same="later.model = mine.model and later.partition_date = mine.partition_date",
)
_PENDING_NODES = _UNPUBLISHED.format(
    table="ops.run_nodes",
    what="unique_id",
    condition="is_full and resource_type = any (%(kinds)s)",
    settled="later.run_id = any (%(layers)s)",
    same="later.unique_id = mine.unique_id and later.is_full",
)


@dataclass(frozen=True)
class Delivered:
    """The dates that each source ever delivered; `snapshots` are sources whose files have none."""

    dates: dict[str, Dates] = field(default_factory=dict)
    snapshots: frozenset[str] = frozenset()

    @property
    def every_date(self) -> Dates:
        return set().union(*self.dates.values())

    def upstream_of(self, known: Graph) -> dict[str, Dates]:
        """The dates of all sources that a node is made of, by its unique id."""
        sources: dict[str, frozenset[str]] = {
            unique_id: frozenset({name}) for unique_id, name in known.sources.items()
        }
        for node in known.nodes:
            above = (sources.get(parent, frozenset()) for parent in node.parents)
            sources[node.unique_id] = frozenset().union(*above)
        return {
            node.unique_id: set().union(
                *(self.dates.get(name, set()) for name in sources[node.unique_id])
            )
            for node in known.nodes
        }


def delivered(connection: database.Connection, as_of: int) -> Delivered:
    """Which dates were ever delivered up to `as_of`, also those that are withdrawn."""
    dates: dict[str, Dates] = defaultdict(set)
    snapshots = set()
    for source, first, days in connection.execute(
        "select distinct source, slice_date, slice_days from ops.deliveries"
        " where outcome = 'loaded' and delivery_id <= %s",
        [as_of],
    ):
        dates[source] |= days_of(first, max(days, 1))
        if not days:
            snapshots.add(source)
    return Delivered(dict(dates), frozenset(snapshots))


def differing(
    connection: database.Connection,
    published: Standing,
    as_of: int,
    every_date: Dates,
    readers: dict[str, frozenset[str]] | None = None,
) -> dict[str, Dates]:
    """The dates whose active delivery is not the one that was last published, by source.

    A delivery counts as published at a date if it was active when the date was last covered, and
    whenever anything was built since: what was built may have read it. A changed snapshot reaches
    every date: nothing says which ones its rows matter to.

    Args:
        readers: the tables that are made of a source, by unique id; all of them built as a whole
            means that all dates of the source are covered.
    """
    found: dict[str, Dates] = defaultdict(set)
    known: dict[int, dict[str, Dates]] = {as_of: {}}
    covered: Dates = set()
    settled: set[str] = set()
    for layer in reversed((None, *published.layers)):
        then = layer.as_of if layer else published.as_of
        if then not in known:
            known[then] = _between(connection, then, as_of, every_date)
        for source, dates in known[then].items():
            found[source] |= set() if source in settled else dates - covered
        if layer:
            covered |= layer.dates
            settled |= {s for s, tables in (readers or {}).items() if tables <= layer.full}
    return {source: dates for source, dates in found.items() if dates}


def readers_of(known: Graph) -> dict[str, frozenset[str]]:
    """The tables that are made of each source, directly or not, by their unique ids."""
    found: dict[str, frozenset[str]] = {}
    for unique_id, name in known.sources.items():
        below = {unique_id}
        for node in known.nodes:
            if not node.is_test and not below.isdisjoint(node.parents):
                below.add(node.unique_id)
        found[name] = frozenset(n.unique_id for n in known.nodes if n.unique_id in below
                                and not n.is_view)  # fmt: skip
    return found


def pending(
    connection: database.Connection, published: Standing, apart: Collection[int] = ()
) -> tuple[dict[str, Dates], frozenset[str]]:
    """What unpublished runs built and may still stand in the candidate.

    Args:
        apart: unpublished runs that do not count.

    Returns:
        partitions by the model's name, and unique ids of what was built as a whole.
    """
    values = {
        "base": published.run_id,
        "layers": list(published.layer_runs),
        "apart": list(apart),
        "kinds": list(graph.BUILT),
    }
    partitions: dict[str, Dates] = defaultdict(set)
    for model, first in connection.execute(_PENDING_PARTITIONS, values):
        partitions[model].add(first)
    full = connection.execute(_PENDING_NODES, values)
    return dict(partitions), frozenset(key for (key,) in full)


def since(
    connection: database.Connection,
    published: Standing,
    as_of: int,
    known: Graph,
    now: dict[str, Fingerprint],
) -> Changes:
    """All that changed between what is published and now."""
    ever = delivered(connection, as_of)
    partitions, nodes = pending(connection, published)
    return Changes(
        differing(connection, published, as_of, ever.every_date, readers_of(known)),
        ever.every_date,
        code_changes.rewritten(
            connection,
            known,
            published,
            now,
            ever.upstream_of(known),
            code_changes.relations(connection),
        ),
        partitions,
        nodes,
    )


def _between(
    connection: database.Connection, before: int, after: int, every_date: Dates
) -> dict[str, Dates]:
    rows: Iterable[tuple[str, date, int]] = connection.execute(
        "select distinct source, slice_date, slice_days"
        " from ops.active_deliveries_as_of(%s) as before"
        " full join ops.active_deliveries_as_of(%s) as after"
        " using (source, slice_date, slice_hour, slice_days)"
        " where before.delivery_id is distinct from after.delivery_id",
        [before, after],
    )
    found: dict[str, Dates] = defaultdict(set)
    for source, first, days in rows:
        found[source] |= days_of(first, days) if days else every_date
    return dict(found)
