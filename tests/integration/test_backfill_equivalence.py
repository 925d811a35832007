"""Whatever backfills, runs and providers do, the marts are those of a build from scratch.

The histories of `test_equivalence.py`, and in them backfills of random ranges and chunks: finished,
abandoned at a chunk or in the middle of its build, resumed, staged, with other code, cancelled.
"""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from orchestration import database
from orchestration.backfills import backfill as backfills
from orchestration.backfills import chunk
from orchestration.backfills import control as backfill_control
from orchestration.backfills.chunk_plan import plan_chunk
from orchestration.backfills.outline import Request
from orchestration.building.build import build, parse
from orchestration.errors import AirworthyError, UsageError
from orchestration.ingesting.ingest import ingest
from orchestration.planning.fingerprints import code_version
from orchestration.planning.plan import due
from orchestration.warehouse_server import warehouse
from tests.integration.test_equivalence import DAYS, Histories, World, world
from tests.steps import digests

__all__ = ["world"]
_REFUSED = ("would mix", "leaves the data", "larger than", "Nothing was delivered")


class Backfilled(Histories):
    """What people do to a warehouse, and backfills."""

    @rule(
        ends=st.lists(st.sampled_from(DAYS), min_size=2, max_size=2),
        size=st.sampled_from(["auto", "day", "15d", "month"]),
        kind=st.sampled_from(["plain", "plain", "staged", "backwards"]),
        chunks=st.integers(0, 3),
        is_built=st.booleans(),
    )
    def a_range_is_backfilled(
        self, ends: list[date], size: str, kind: str, chunks: int, is_built: bool
    ) -> None:
        """After so many chunks it ends, after the build of another one; with three, it finishes."""
        first, last = sorted(ends)
        if size == "day" and (last - first).days > 1:
            size = "15d"  # a month of single days, most of them empty, would take minutes
        request = Request(
            first, last, size, staged=kind == "staged", backwards=kind == "backwards",
            allows_gaps=True,
        )  # fmt: skip
        with warehouse.ready(self.world.played) as connection:
            self.take_in()
            ingest(self.world.played, connection)
            backfill = self.planned(connection, request)
            if backfill is None:
                return
            if chunks < 3:
                self.abandon(connection, backfill, chunks, is_built)
            else:
                self.complete(connection, backfill)

    def planned(
        self, connection: database.Connection, request: Request
    ) -> backfills.Backfill | None:
        """The backfill; None where it is refused, as it should be."""
        given, manifest = self.world.played, parse(self.world.played)
        for other in backfills.unfinished(connection):
            if not backfills.request_of(other).is_like(request):
                backfill_control.cancel(given, connection, other.backfill_id, "a test")
        try:
            backfill = backfills.plan(given, connection, request, manifest)
            if code_version(given.project) != backfill.code_version:
                with pytest.raises(AirworthyError, match="changed since"):
                    backfill_control.require_running(given, backfill)
                number = backfill.backfill_id
                backfill = backfill_control.repin(given, connection, number, manifest)
        except UsageError as refused:
            if any(words in str(refused) for words in _REFUSED):
                return None
            raise
        return backfill

    def abandon(
        self,
        connection: database.Connection,
        backfill: backfills.Backfill,
        most: int,
        is_built: bool,
    ) -> None:
        given, manifest = self.world.played, parse(self.world.played)
        left = [
            one for one in backfills.chunks(connection, backfill.backfill_id)
            if not one.is_done(backfill)
        ]  # fmt: skip
        for one in left[:most]:
            done = chunk.do_chunk(given, connection, backfill.backfill_id, one.number, manifest)
            assert done.verdict is None or done.verdict.passed
        if is_built and left[most:]:
            staged = chunk.staged_runs(connection, backfill)
            run = plan_chunk(given, connection, backfill, left[most], staged, manifest)
            if run:
                assert build(given, connection, run, manifest).failed == ()

    def complete(self, connection: database.Connection, backfill: backfills.Backfill) -> None:
        given, manifest = self.world.played, parse(self.world.played)
        for one in backfills.chunks(connection, backfill.backfill_id):
            done = chunk.do_chunk(given, connection, backfill.backfill_id, one.number, manifest)
            assert done.verdict is None or done.verdict.passed
        done = chunk.finish(given, connection, backfill.backfill_id, manifest)
        assert done.verdict is None or done.verdict.passed
        if due(given, connection) is None:
            active = {slice_: variants[-1] for slice_, variants in self.loaded.items()}
            assert digests(given) == self.world.from_scratch(active, self.code)


def test_any_history_with_backfills_ends_in_the_marts_of_a_build_from_scratch(
    world: World,
) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    class Played(Backfilled):
        pass

    Played.world = world
    run_state_machine_as_test(
        Played,
        settings=settings(
            max_examples=3, stateful_step_count=12, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
