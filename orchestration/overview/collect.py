"""All that the page shows, asked for in a dozen queries whose answers are bounded.

Reads the ledger, the contracts and `published._catalog`; writes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg.rows import namedtuple_row

from orchestration import database
from orchestration.auditing.gate import RUNBOOK
from orchestration.ingesting import contract_files, replay
from orchestration.ingesting.contracts import Contract
from orchestration.overview import punctuality, volumes
from orchestration.overview.punctuality import Arrival, Calendar, Dues, Published
from orchestration.overview.volumes import Volume
from orchestration.publishing import catalogue
from orchestration.publishing.catalogue import Entry
from orchestration.publishing.rollback import Hold, active_hold
from orchestration.settings import Settings
from orchestration.watching import promises

# What is shown of each kind, so that the page stays as large after years as it is after a month.
RUNS, CALENDARS, MODELS, REASONS = 30, 16, 20, 12
_PUBLICATIONS = 5000
_DAYS = 366 + 56  # a calendar, and the weeks before it that its volumes are compared with
_COUNTS = """
    select
        count(*) filter (where outcome = 'loaded') as deliveries,
        count(*) filter (where outcome = 'rejected') as rejected,
        coalesce(sum(rows_loaded), 0)::bigint as loaded,
        coalesce(sum(rows_quarantined), 0)::bigint as quarantined,
        max(recorded_at) as newest_at
    from ops.deliveries
"""
_TIMES = """
    select publication_id, as_of, published_at from ops.publications
    order by publication_id desc limit %(publications)s
"""
_BACKFILLS = """
    select
        backfill_id, backfills.first_date, backfills.last_date, backfills.state,
        count(*) filter (where chunks.state in ('published', 'empty')) as done, count(*) as chunks
    from ops.backfills inner join ops.backfill_chunk_states as chunks using (backfill_id)
    where backfills.state in ('running', 'paused') group by backfill_id order by backfill_id
"""


@dataclass(frozen=True)
class Source:
    """One source as the page shows it.

    Attributes:
        calendar: None where it has no days; `note` says why.
    """

    name: str
    owner: str
    newest: Arrival | None
    calendar: Calendar | None
    note: str
    volumes: list[Volume]


@dataclass(frozen=True)
class Overview:
    """The page's content; each list of rows is the answer to the query of the same name.

    Attributes:
        calendars: of marts, grouped by the sources that they are made of.
        attention: what somebody has to look at: a sentence and a command or runbook.
        left_out: what did not fit on the page.
    """

    counts: Any
    runs: list[Any]
    gate: list[Any]
    changes: list[Any]
    models: list[Any]
    backfills: list[Any]
    alerts: list[Any]
    catalogue: list[Entry]
    hold: Hold | None
    held: replay.Held
    sources: list[Source]
    calendars: list[Calendar]
    attention: list[tuple[str, str]]
    left_out: list[str]


def collect(settings: Settings, connection: database.Connection, now: datetime) -> Overview:
    """The state of everything at `now` (aware, UTC)."""
    known = contract_files.load_all(settings.project / "contracts")
    rows = _ask(connection)
    arrivals = punctuality.arrivals_by_source(rows["days"])
    dues, notes = _promised(known, arrivals, now)
    sources = [
        _source(name, versions[0], arrivals.get(name, []), dues.get(name), notes, now)
        for name, versions in known.items()
    ]
    entries = catalogue.read(connection)
    published = [Published(*row) for row in reversed(rows["times"])]
    afters = {mart.name: mart.due_after for mart in promises.published_marts(connection)}
    calendars = _of_marts(entries, sources, arrivals, dues, published, now, afters)
    most = max(CALENDARS - sum(1 for source in sources if source.calendar), 0)
    found = replay.quarantine(connection, None)
    hold = active_hold(connection)
    return Overview(
        counts=rows["counts"][0], runs=rows["runs"], gate=rows["gate"], changes=rows["changes"],
        models=rows["models"], backfills=rows["backfills"], alerts=rows["alerts"],
        catalogue=entries, hold=hold, held=found, sources=sources, calendars=calendars[:most],
        attention=_attention(rows, sources, found, hold),
        left_out=[f"the calendar of {calendar.subject}" for calendar in calendars[most:]],
    )  # fmt: skip


def _ask(connection: database.Connection) -> dict[str, list[Any]]:
    folder = Path(__file__).parent
    queries = {path.stem: database.script(folder, path.stem) for path in folder.glob("*.sql")}
    queries |= {"counts": _COUNTS, "times": _TIMES, "backfills": _BACKFILLS}
    limits = {
        "runs": RUNS, "models": MODELS, "publications": _PUBLICATIONS, "days": _DAYS,
    }  # fmt: skip
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return {name: cursor.execute(text, limits).fetchall() for name, text in queries.items()}


def _promised(
    known: dict[str, list[Contract]], arrivals: dict[str, list[Arrival]], now: datetime
) -> tuple[dict[str, Dues], dict[str, str]]:
    """The promised days of each source since its first one, or why there are none."""
    dues, notes = dict[str, Dues](), dict[str, str]()
    for name, versions in known.items():
        start = min((a.slice_date for a in arrivals.get(name, [])), default=now.date())
        try:
            dues[name] = punctuality.dues_of(versions[0], start, now)
        except ValueError as error:
            notes[name] = f"no calendar: {error}"
    return dues, notes


def _source(
    name: str,
    contract: Contract,
    arrivals: list[Arrival],
    dues: Dues | None,
    notes: dict[str, str],
    now: datetime,
) -> Source:
    calendar = None if dues is None else punctuality.of_source(name, dues, arrivals, now)
    loaded = [arrival for arrival in arrivals if arrival.delivery_id is not None]
    return Source(
        name=name,
        owner=contract.owner,
        newest=max(loaded, key=lambda arrival: arrival.slice_date) if loaded else None,
        calendar=calendar,
        note=notes.get(name) or (calendar.note if calendar else "nothing has come yet"),
        volumes=volumes.of_source(arrivals) if calendar else [],
    )


def _of_marts(
    entries: list[Entry],
    sources: list[Source],
    arrivals: dict[str, list[Arrival]],
    dues: dict[str, Dues],
    published: list[Published],
    now: datetime,
    afters: dict[str, timedelta | None],
) -> list[Calendar]:
    calendars = {source.name: source.calendar for source in sources if source.calendar}
    groups = defaultdict[tuple[tuple[str, ...], timedelta | None], list[str]](list)
    for entry in entries:
        names = tuple(name for name in entry.sources if name in calendars)
        groups[names, afters.get(entry.mart)].append(entry.mart)
    found = [
        punctuality.of_marts(
            marts, arrivals, dues, {name: calendars[name] for name in names}, published, now, after
        )
        for (names, after), marts in sorted(groups.items(), key=lambda group: -len(group[1]))
    ]
    return [calendar for calendar in found if calendar]


def _attention(
    rows: dict[str, list[Any]], sources: list[Source], held: replay.Held, hold: Hold | None
) -> list[tuple[str, str]]:
    found = []
    if hold:
        found.append((f"Publishing is held by {hold.set_by}: {hold.reason}", "make resume"))
    newest = next((run for run in rows["runs"] if run.state != "superseded"), None)
    if newest and newest.state == "blocked":
        found.append((f"The gate blocks run {newest.run_id}.", RUNBOOK))
    for source in sources:
        if source.calendar and source.calendar.is_late:
            newest_day = source.newest.slice_date if source.newest else "never"
            found.append(
                (f"{source.name} is late; its newest day is {newest_day}.",
                 "runbooks/source-late.md")
            )  # fmt: skip
    if held.rejected:
        found.append((f"Rejected files that wait: {len(held.rejected):,}.", "make quarantine"))
    found += [
        (f"Backfill {row.backfill_id} is {row.state}: {row.done} of {row.chunks} chunks.",
         f"make backfill RESUME={row.backfill_id}")
        for row in rows["backfills"]
    ]  # fmt: skip
    slow = [m.name for m in rows["models"] if m.budget_seconds and m.seconds > m.budget_seconds]
    if slow:
        found.append((f"Over their budget: {', '.join(slow)}.", "make plan"))
    return found
