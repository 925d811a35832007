"""Whatever happened on the way, the marts are those of a build from scratch."""

from __future__ import annotations

from pathlib import Path

from tests.support.histories import Histories, play, world


def test_any_history_ends_in_the_marts_of_a_build_from_scratch(tmp_path: Path) -> None:
    with world(tmp_path) as both:
        play(Histories, both, examples=1, steps=8)
