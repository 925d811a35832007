"""Whatever backfills, runs and providers do, the marts are those of a build from scratch.

The histories of `tests/support`, and in them backfills of random ranges and chunks: finished,
abandoned at a chunk or in the middle of its audit, resumed, staged, with other code, cancelled.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.support import points
from tests.support.histories import DAYS, Histories, play, world
from tests.support.patience import until

Asked = dict[str, Any]
_REFUSED = ("would mix", "leaves the data", "larger than", "Nothing was delivered")


def _asked(ends: list[date], size: str, kind: str) -> Asked:
    first, last = sorted(ends)
    if size == "day" and (last - first).days > 1:
        size = "15d"  # a month of single days, most of them empty, would take minutes
    return {
        "start": str(first), "end": str(last), "chunk": size, "allows_gaps": True,
        "stage": kind == "staged", "backwards": kind == "backwards", "keep_going": False,
    }  # fmt: skip


_ASKED = st.builds(
    _asked,
    st.lists(st.sampled_from(DAYS), min_size=2, max_size=2),
    st.sampled_from(["auto", "day", "15d", "month"]),
    st.sampled_from(["plain", "plain", "staged", "backwards"]),
)


class Backfilled(Histories):
    """What people do to a warehouse, and backfills."""

    def __init__(self) -> None:
        super().__init__()
        self.pinned: dict[int, str] = {}  # the code that each backfill was planned with

    @rule(asked=_ASKED)
    def a_range_is_backfilled(self, asked: Asked) -> None:
        planned = self.planned(asked)
        if planned:
            self.complete(planned["backfill"])

    @rule()
    def an_abandoned_backfill_is_completed(self) -> None:
        left = self.world.played.query(
            "select max(backfill_id) from ops.backfills where state = 'running' having count(*) > 0"
        )
        for (number,) in left:
            if self.taken_up(number):
                self.complete(number)

    @rule(asked=_ASKED, most=st.integers(0, 2))
    def a_backfill_is_abandoned_after_some_chunks(self, asked: Asked, most: int) -> None:
        planned = self.planned(asked)
        if planned:
            self.do_chunks(planned, most)

    @rule(asked=_ASKED, most=st.integers(0, 1))
    def a_backfill_is_killed_in_the_audit_of_a_chunk(self, asked: Asked, most: int) -> None:
        planned = self.planned(asked)
        if not planned or not (left := self.do_chunks(planned, most)):
            return
        with points.stop_at(self.world.played, "ops.gate_results") as point:
            process = self.world.played.start_step("do_chunk", planned["backfill"], left[0])
            # A chunk without anything to build is not audited.
            until(lambda: point.is_reached() or process.has_ended())
            if process.has_ended():
                assert process.wait() == 0, process.said
            else:
                process.kill()
        points.quiet(self.world.played)

    def planned(self, asked: Asked) -> Asked | None:
        """The backfill and what is left of it; None where it is refused, as it should be."""
        self.take_in()
        self.world.played.call("ingest")
        planned = self.answer(**asked, dry_run=None, resume=None, repin=False)
        if planned is None:
            return None
        number = planned["backfill"]
        is_new = self.pinned.setdefault(number, self.code) == self.code
        return planned if is_new else self.taken_up(number)

    def taken_up(self, number: int) -> Asked | None:
        """What is left of a backfill, with the code that is there now; None where it is refused."""
        has_changed = self.pinned[number] != self.code
        if has_changed:
            assert "changed since" in self.world.played.fail("finish_backfill", number)
        left = self.answer(resume=number, repin=has_changed, keep_going=False)
        if left:
            self.pinned[number] = self.code
        return left

    def answer(self, **asked: Any) -> Asked | None:
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

    def complete(self, number: int) -> None:
        """The marts are right at once, unless the range was not all that was due."""
        self.world.played.call("backfill", "--resume", str(number))
        if self.world.played.step("plan") is None:
            self.compare()

    def do_chunks(self, planned: Asked, most: int) -> list[int]:
        """Do the first few that are left, each as a task of a runner does; what is left then."""
        numbers = [number for number, _ in planned["chunks"]]
        for number in numbers[:most]:
            self.world.played.step("do_chunk", planned["backfill"], number)
        return numbers[most:]


def test_any_history_with_backfills_ends_in_the_marts_of_a_build_from_scratch(
    tmp_path: Path,
) -> None:
    with world(tmp_path) as both:
        play(Backfilled, both, examples=1, steps=6)
