"""What is due, late and missing: of each source by its contract, of each mart by its sources.

Reads the ledger, the contracts and the published code's manifest; writes nothing. All
follows from the calendar and the ledger, so it is right when nothing runs at all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from orchestration import database
from orchestration.ingesting import contract_files
from orchestration.ingesting.contracts import Contract
from orchestration.settings import Settings
from orchestration.watching.promises import Mart, published_marts
from orchestration.watching.sla import Period, Sla

Slices = Collection[tuple[date, int]]

# How long it takes from arrival to publication where nothing was published yet.
_USUAL = timedelta(minutes=15)
_WAITS = """
    select source, percentile_cont(0.5) within group (order by wait),
        percentile_cont(0.9) within group (order by wait)
    from (
        select source, first.published_at - recorded_at as wait,
            row_number() over (partition by source order by delivery_id desc) as place
        from ops.deliveries inner join lateral (
            select published_at from ops.publications
            where as_of >= delivery_id and published_at >= recorded_at
            order by publication_id limit 1
        ) as first on true
        where outcome = 'loaded'
    ) as waits
    where place <= 200
    group by source
"""
# All inputs of what is published: the base's, and what backfills brought over it.
_PUBLISHED = """
    with latest as (select * from ops.publications order by publication_id desc limit 1)
    select source, slice_date, slice_hour
    from latest, lateral ops.active_deliveries_as_of(latest.as_of)
    union
    select source, slice_date, slice_hour
    from latest inner join ops.runs on runs.run_id = any (latest.layers),
        lateral ops.active_deliveries_as_of(runs.as_of)
    where slice_date <@ covers
"""


@dataclass(frozen=True)
class Slot:
    """A promised slice, and whether it is there.

    Attributes:
        state: arrived; due (still in time); late (the newest that is due, and not there);
            missing (an older one).
    """

    period: Period
    state: str


@dataclass(frozen=True)
class SourceState:
    """One source, as its contract and the ledger have it.

    Attributes:
        slots: empty where nothing was promised.
        newest: date of its newest slice.
        usual_wait, long_wait: from arrival to publication, half and nine tenths of the time.
    """

    source: str
    owner: str
    sla: Sla | None
    slots: tuple[Slot, ...]
    newest: date | None
    usual_wait: timedelta | None
    long_wait: timedelta | None

    def having(self, *states: str) -> tuple[Period, ...]:
        return tuple(slot.period for slot in self.slots if slot.state in states)


@dataclass(frozen=True)
class Wanted:
    """A slice that a mart does not show yet.

    Attributes:
        is_there: it has arrived, and waits to be published.
        due_at: until when the mart has to show it.
    """

    source: str
    period: Period
    is_there: bool
    due_at: datetime
    state: str


@dataclass(frozen=True)
class MartState:
    """One published mart.

    Attributes:
        sources: those it is made of.
        due_after: how long after its sources it is due; None where nothing was promised.
        newest: all its dated sources are published up to this date.
        changed_at: when a publication changed it last.
        wanted: what it does not show, though it will miss or has missed its due time.
    """

    mart: str
    owner: str
    sources: frozenset[str]
    due_after: timedelta | None
    newest: date | None
    changed_at: datetime | None
    wanted: tuple[Wanted, ...]

    @property
    def state(self) -> str:
        if self.due_after is None:
            return "no promise"
        worst = {wanted.state for wanted in self.wanted}
        return next((s for s in ("missed", "will miss") if s in worst), "in time")


@dataclass(frozen=True)
class Look:
    """What was found at the instant `at`."""

    at: datetime
    sources: list[SourceState]
    marts: list[MartState]


def look(settings: Settings, connection: database.Connection, at: datetime) -> Look:
    """Everything that was promised, as it stands at the instant `at`.

    Raises:
        UsageError: a contract cannot be read.
    """
    sources = of_sources(settings, connection, at)
    return Look(at, sources, of_marts(connection, sources, at))


def slots(sla: Sla, there: Slices, now: datetime) -> tuple[Slot, ...]:
    """Every promised slice that has begun at `now`, oldest first.

    Args:
        there: date and hour of each slice that arrived.
    """
    arrived = sorted(there)
    today = now.astimezone(sla.zone).date()
    start = sla.first or (arrived[0][0] if arrived else today - timedelta(1))
    periods = list(sla.periods(start, now))
    overdue = [period for period in periods if period.due_at <= now]
    found = []
    for period in periods:
        if _arrived(sla, arrived, period):
            state = "arrived"
        elif period.due_at > now:
            state = "due"
        else:
            state = "late" if period is overdue[-1] else "missing"
        found.append(Slot(period, state))
    return tuple(found)


def of_sources(
    settings: Settings, connection: database.Connection, now: datetime
) -> list[SourceState]:
    """Each source that has a contract, by name.

    Raises:
        UsageError: a contract cannot be read.
    """
    known = contract_files.load_all(settings.project / "contracts")
    there = _by_source(
        connection, "select source, slice_date, slice_hour from ops.active_deliveries"
    )
    waits = {source: (usual, long) for source, usual, long in connection.execute(_WAITS)}
    return [
        _source(versions[0], there.get(name, set()), waits.get(name, (None, None)), now)
        for name, versions in sorted(known.items())
    ]


def of_marts(
    connection: database.Connection, sources: list[SourceState], now: datetime
) -> list[MartState]:
    """Each published mart, by name; none before the first publication."""
    marts = published_marts(connection)
    published = _by_source(connection, _PUBLISHED) if marts else {}
    by_name = {source.source: source for source in sources}
    changed = dict(
        connection.execute(
            "select mart, max(published_at) from ops.publication_changes"
            " inner join ops.publications using (publication_id)"
            " where inserted + updated + deleted > 0 group by mart"
        ).fetchall()
    )
    unpublished = {
        name: _unpublished(source, published.get(name, set())) for name, source in by_name.items()
    }
    found = []
    for mart in marts:
        dated = [
            max(s)[0] for n in mart.sources if (s := published.get(n)) and _is_dated(by_name, n)
        ]
        wanted = (
            each
            for name in sorted(mart.sources & set(by_name))
            for each in _wanted(by_name[name], unpublished[name], mart, now)
        )
        found.append(
            MartState(
                mart.name, mart.owner, mart.sources, mart.due_after,
                min(dated, default=None), changed.get(mart.name), tuple(wanted),
            )
        )  # fmt: skip
    return found


def _arrived(sla: Sla, arrived: list[tuple[date, int]], period: Period) -> bool:
    if sla.unit == "hour":
        bounds = (period.first, period.hour), (period.first, period.hour + sla.every)
    else:
        bounds = (period.first, 0), (period.until, 0)
    return bisect_left(arrived, bounds[0]) < bisect_left(arrived, bounds[1])


def _source(
    contract: Contract,
    there: set[tuple[date, int]],
    waits: tuple[timedelta | None, timedelta | None],
    now: datetime,
) -> SourceState:
    return SourceState(
        source=contract.source,
        owner=contract.owner or "nobody",
        sla=contract.sla,
        slots=slots(contract.sla, there, now) if contract.sla else (),
        newest=max(there)[0] if there else None,
        usual_wait=waits[0],
        long_wait=waits[1],
    )


def _unpublished(source: SourceState, published: Slices) -> list[Slot]:
    if source.sla is None:
        return []
    shown = sorted(published)
    return [slot for slot in source.slots if not _arrived(source.sla, shown, slot.period)]


def _wanted(
    source: SourceState, unpublished: list[Slot], mart: Mart, now: datetime
) -> list[Wanted]:
    if mart.due_after is None:
        return []
    found = []
    for slot in unpublished:
        due_at, is_there = slot.period.due_at + mart.due_after, slot.state == "arrived"
        needs = source.long_wait or _USUAL
        # What is there may be under way; what the provider still has time for is nobody's fault.
        if due_at <= now:
            state = "missed"
        elif slot.state != "due" and now + needs > due_at:
            state = "will miss"
        else:
            continue
        found.append(Wanted(source.source, slot.period, is_there, due_at, state))
    return found


def _is_dated(sources: Mapping[str, SourceState], name: str) -> bool:
    sla = sources[name].sla if name in sources else None
    return sla is None or sla.unit not in ("month", "year")


def _by_source(connection: database.Connection, query: str) -> dict[str, set[tuple[date, int]]]:
    found: dict[str, set[tuple[date, int]]] = {}
    for source, day, hour in connection.execute(query):
        found.setdefault(source, set()).add((day, hour))
    return found
