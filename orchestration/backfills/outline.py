"""What a backfill would be: chunks, deliveries, gaps, rows, time. Looked at before it is recorded.

Reads the ledger, the code and dbt's manifest; writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from orchestration import database
from orchestration.backfills.ranges import Range, gaps, split
from orchestration.errors import UsageError
from orchestration.planning import changes, fingerprints, graph, standing
from orchestration.planning.graph import Dates, Graph
from orchestration.planning.plan import newest_delivery
from orchestration.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_NOTHING = "Nothing was changed."
_SHOWN = 5


@dataclass(frozen=True)
class Request:
    """A backfill as it is asked for; both ends of the range are included.

    Attributes:
        models: limit it to these and what hangs on them.
        backwards: newest chunk first.
        staged: publish only when all chunks have passed, at once.
        compare: build and audit, show what would change, publish nothing.
        keep_going: past chunks that the gate blocks.
        max_active: how many chunks runners may have in hand; one is built at a time.
    """

    first: date
    last: date
    chunk: str = "auto"
    models: tuple[str, ...] = ()
    backwards: bool = False
    staged: bool = False
    compare: bool = False
    keep_going: bool = False
    max_active: int = 1
    reason: str = ""
    allows_gaps: bool = False

    @classmethod
    def of(
        cls, start: date | str | None, end: date | str | None, *, dry_run: str | None = None,
        models: Iterable[str] = (), stage: bool = False, max_active: int = 1, **same: Any,
    ) -> Request:  # fmt: skip
        """The request in the words of a command, a DAG's parameters or a flow's.

        Args:
            start, end: dates, as such or as YYYY-MM-DD.
            dry_run: `diff` compares; `1` is up to the caller.
            same: attributes that are called the same.

        Raises:
            UsageError: there is no range, or it makes no sense.
        """
        if not start or not end:
            raise UsageError(
                "A backfill needs a range.",
                kept=_NOTHING,
                todo="START=2013-01-01 END=2013-03-31 (both included), or RESUME=<n>",
            )
        if max_active < 1:
            raise UsageError("MAX_ACTIVE is at least 1.", kept=_NOTHING)
        first, last = (
            date.fromisoformat(day) if isinstance(day, str) else day for day in (start, end)
        )
        names = tuple(name for name in map(str.strip, models) if name)
        compare = dry_run == "diff"
        return cls(
            first, last, models=names, staged=stage or compare, compare=compare,
            max_active=max_active, **same,
        )  # fmt: skip

    @property
    def range(self) -> Range:
        return Range(self.first, self.last)

    def is_like(self, other: Request) -> bool:
        """Whether both ask for the same to be built and published in the same steps."""
        return (
            self.range == other.range and self.chunk == other.chunk
            and set(self.models) == set(other.models) and self.backwards == other.backwards
            and (self.staged or self.compare) == (other.staged or other.compare)
            and self.compare == other.compare
        )  # fmt: skip


@dataclass(frozen=True)
class Part:
    """What one chunk is about."""

    range: Range
    deliveries: int
    rows: int


@dataclass(frozen=True)
class Outline:
    """A backfill that could be recorded.

    Attributes:
        data: the dates of all that was delivered.
        gaps: the days of the range without delivery, by source.
        seconds: how long it may take by what earlier runs took; None if there was none.
    """

    request: Request
    as_of: int
    code_version: str
    data: Range
    parts: list[Part]
    gaps: dict[str, list[Range]]
    seconds: float | None

    def require_no_gaps(self) -> None:
        """Raise if days are missing and nobody said that this is right."""
        if not self.gaps or self.request.allows_gaps:
            return
        raise UsageError(
            f"Days without delivery in {self.request.range}: {self.say_gaps()}.",
            kept=_NOTHING,
            todo="Let the files land and ingest them, or accept it: ALLOW_GAPS=1.",
        )

    def say_gaps(self) -> str:
        return "; ".join(
            f"{source} {sum(part.days for part in parts)}"
            f" ({', '.join(map(str, parts[:_SHOWN]))}{' ...' if len(parts) > _SHOWN else ''})"
            for source, parts in self.gaps.items()
        )


def outline(
    settings: Settings, connection: database.Connection, request: Request, manifest: Manifest
) -> Outline:
    """The backfill as it would be recorded now.

    Raises:
        UsageError: the request makes no sense.
    """
    known = graph.read(manifest, settings.project, connection)
    require_models(known, request.models)
    as_of = newest_delivery(connection)
    dated = _dated_sources(connection, known, as_of)
    data = _require_data(request, dated)
    rows, deliveries, there = _content(connection, as_of, request.range, set(dated))
    parts = [
        Part(
            part,
            sum(deliveries[day] for day in part.dates),
            sum(rows[day] for day in part.dates),
        )
        for part in split(request.range, request.chunk, rows)
    ]
    return Outline(
        request, as_of, fingerprints.code_version(settings.project), data, parts,
        gaps(request.range, there), _seconds(connection, parts),
    )  # fmt: skip


def require_models(known: Graph, names: tuple[str, ...]) -> None:
    """Raise if one of `names` is no model of the project."""
    models = {node.name for node in known.nodes if not node.is_test}
    unknown = [name for name in names if name not in models]
    if unknown:
        raise UsageError(
            f"There is no model {', '.join(unknown)}.",
            kept=_NOTHING,
            todo=f"MODELS takes names with commas between them, of: {', '.join(sorted(models))}.",
        )


def _dated_sources(connection: database.Connection, known: Graph, as_of: int) -> dict[str, Dates]:
    """The dates of each source that a partitioned model is made of."""
    ever = changes.delivered(connection, as_of)
    above: dict[str, set[str]] = {key: {name} for key, name in known.sources.items()}
    wanted: set[str] = set()
    for node in known.nodes:
        above[node.unique_id] = set().union(*(above.get(key, set()) for key in node.parents))
        if node.partitioning:
            wanted |= above[node.unique_id]
    return {
        name: dates
        for name, dates in ever.dates.items()
        if name in wanted and name not in ever.snapshots
    }


def _require_data(request: Request, dated: dict[str, Dates]) -> Range:
    if request.last < request.first:
        raise UsageError(
            f"END ({request.last}) lies before START ({request.first}).",
            kept=_NOTHING,
            todo="Both are included: START=2013-01-01 END=2013-01-01 is one day.",
        )
    dates = set().union(*dated.values())
    if not dates:
        raise UsageError(
            "Nothing was delivered yet, so there is nothing to build.",
            kept=_NOTHING,
            todo="Run `make ingest` first.",
        )
    data = Range(min(dates), max(dates))
    if request.first < data.first or request.last > data.last:
        raise UsageError(
            f"The range {request.range} leaves the data, which goes from {data}.",
            kept=_NOTHING,
            todo=f"Stay within START={data.first} END={data.last}.",
        )
    return data


def _content(
    connection: database.Connection, as_of: int, whole: Range, sources: set[str]
) -> tuple[Counter[date], Counter[date], dict[str, Dates]]:
    """Rows and deliveries by date, and the dates of each source, of what is active in the range."""
    rows: Counter[date] = Counter()
    deliveries: Counter[date] = Counter()
    there: dict[str, Dates] = {source: set() for source in sources}
    for source, first, days, count in connection.execute(
        "select active.source, active.slice_date, active.slice_days, rows_loaded"
        " from ops.active_deliveries_as_of(%s) as active inner join ops.deliveries using"
        " (delivery_id) where active.source = any(%s) and active.slice_date <= %s"
        " and active.slice_date + active.slice_days > %s",
        [as_of, list(sources), whole.last, whole.first],
    ):
        covered = standing.days_of(first, days)
        there[source] |= covered
        start = max(first, whole.first)
        rows[start] += count
        deliveries[start] += 1
    return rows, deliveries, there


def _seconds(connection: database.Connection, parts: list[Part]) -> float | None:
    """By the last published runs: the shortest for each chunk, and the rate of all for the rows."""
    row = connection.execute(
        "select extract(epoch from min(took)), sum(row_count) / extract(epoch from sum(took))"
        " from (select finished_at - planned_at as took, (select sum(rows_affected)"
        " from ops.build_results where run_id = runs.run_id and rows_affected > 0) as row_count"
        " from ops.runs where state = 'published' and kind <> 'rollback'"
        " order by run_id desc limit 20) as latest"
    ).fetchone()
    if row is None or row[0] is None or not row[1]:
        return None
    return float(row[0]) * len(parts) + sum(part.rows for part in parts) / float(row[1])
