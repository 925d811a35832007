"""Whatever backfills, runs and providers do, the marts are those of a build from scratch.

The histories of `tests/pipeline`, and in them backfills of random ranges and chunks: finished,
abandoned at a chunk or in the middle of its audit, resumed, staged, with other code, cancelled.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.support import points
from tests.support.histories import DAYS, Histories, play, world
from tests.support.patience import until

_REFUSED = ("would mix", "leaves the data", "larger than", "Nothing was delivered")


class Backfilled(Histories):
    """What people do to a warehouse, and backfills."""

    @initialize()
    def begin_backfills(self) -> None:
        self.pinned: dict[int, str] = {}  # the code that each backfill was planned with

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
        """After so many chunks it ends, in the audit of another one; with three, it finishes."""
        first, last = sorted(ends)
        if size == "day" and (last - first).days > 1:
            size = "15d"  # a month of single days, most of them empty, would take minutes
        self.take_in()
        self.world.played.call("ingest")
        planned = self.planned({
            "start": str(first), "end": str(last), "chunk": size, "allows_gaps": True,
            "stage": kind == "staged", "backwards": kind == "backwards", "keep_going": False,
        })  # fmt: skip
        if planned is None:
            return
        if chunks < 3:
            self.abandon(planned, chunks, is_built)
        else:
            self.complete(planned["backfill"])

    def planned(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        """The backfill and what is left of it; None where it is refused, as it should be."""
        planned = self.asked_for(**asked, dry_run=None, resume=None, repin=False)
        if planned is None:
            return None
        number = planned["backfill"]
        if self.pinned.setdefault(number, self.code) != self.code:
            assert "changed since" in self.world.played.fail("finish_backfill", number)
            again = self.asked_for(resume=number, repin=True, keep_going=False)
            if again:
                self.pinned[number] = self.code
            return again
        return planned

    def asked_for(self, **asked: Any) -> dict[str, Any] | None:
        """What `plan_backfill` answers, once nothing else is in its way; None if it refuses."""
        played = self.world.played
        while True:
            process = played.start_step("plan_backfill", asked)
            if process.wait() == 0:
                return dict(process.returned)
            other = re.search(r"overlaps that of backfill (\d+)", process.said)
            if not other:
                assert any(words in process.said for words in _REFUSED), process.said
                return None
            played.call("backfill-cancel", "--backfill", other[1], "--reason", "a test")

    def abandon(self, planned: dict[str, Any], most: int, is_built: bool) -> None:
        played, number = self.world.played, planned["backfill"]
        numbers = [chunk for chunk, _ in planned["chunks"]]
        for chunk in numbers[:most]:
            played.step("do_chunk", number, chunk)
        if is_built and numbers[most:]:
            with points.stop_at(played, "ops.gate_results") as point:
                process = played.start_step("do_chunk", number, numbers[most])
                # A chunk without anything to build is not audited.
                until(lambda: point.is_reached() or process.has_ended())
                if process.has_ended():
                    assert process.wait() == 0, process.said
                else:
                    process.kill()
            points.quiet(played)

    def complete(self, number: int) -> None:
        """The marts are right, unless the range was not all that was due."""
        self.world.played.call("backfill", "--resume", str(number))
        if self.world.played.step("plan") is None:
            self.compare()


def test_any_history_with_backfills_ends_in_the_marts_of_a_build_from_scratch(
    tmp_path: Path,
) -> None:
    with world(tmp_path) as both:
        play(Backfilled, both, examples=2, steps=8)
