"""What is published: a base, and over it what backfills published of some dates.

Reads the ledger, writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from orchestration import database
from orchestration.planning.graph import Dates


@dataclass(frozen=True)
class Layer:
    """What a backfill published of some dates on top of the base.

    Attributes:
        dates: those whose slices it brought to all models; none if it was limited to some.
        built: unique ids of what it built or tested.
        full: those of `built` that it built as a whole.
    """

    as_of: int
    code_version: str
    dates: Dates
    built: frozenset[str]
    full: frozenset[str]


@dataclass(frozen=True)
class Standing:
    """What is published: from which inputs and code.

    Attributes:
        run_id: the base, which built everything that no layer did; zero if there is none.
        as_of, code_version: the base's; zero and None or unknown if there is none.
        layers: oldest first.
        layer_runs: their runs.
    """

    run_id: int = 0
    as_of: int = 0
    code_version: str | None = None
    layers: tuple[Layer, ...] = ()
    layer_runs: tuple[int, ...] = ()

    @property
    def newest_as_of(self) -> int:
        """The newest delivery that anything published may have read."""
        return max([self.as_of, *(layer.as_of for layer in self.layers)])

    def with_layer(self, layer: Layer, run_id: int) -> Standing:
        return Standing(
            self.run_id, self.as_of, self.code_version,
            (*self.layers, layer), (*self.layer_runs, run_id),
        )  # fmt: skip


def read(connection: database.Connection) -> Standing:
    """What is published now."""
    row = connection.execute(
        "select coalesce(base_run_id, 0), as_of, code_version, layers from ops.publications"
        " order by publication_id desc limit 1"
    ).fetchone()
    if row is None:
        return Standing()
    return Standing(row[0], row[1], row[2], layers(connection, row[3]), tuple(row[3]))


def layers(connection: database.Connection, runs: Sequence[int]) -> tuple[Layer, ...]:
    """What runs of backfills built, in the same order."""
    rows = connection.execute(
        "select runs.as_of, runs.code_version, lower(covers), upper(covers),"
        " array(select unique_id from ops.run_nodes where run_id = runs.run_id),"
        " array(select unique_id from ops.run_nodes where run_id = runs.run_id and is_full)"
        " from unnest(%s::bigint[]) with ordinality as layer (run_id, number)"
        " inner join ops.runs using (run_id) order by number",
        [list(runs)],
    )
    return tuple(
        Layer(
            as_of,
            code,
            days_of(first, (after - first).days) if first else set(),
            frozenset(built),
            frozenset(full),
        )
        for as_of, code, first, after, built, full in rows
    )


def days_of(first: date, days: int) -> Dates:
    return {first + timedelta(n) for n in range(days)}
