"""More states that tests of a run start from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pipeline.given import Project
from tests.support import states
from tests.support.checkout import Checkout

Another = Callable[[str], Checkout]


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Another]:
    """Call it with a state's name for one more checkout."""
    made: list[Checkout] = []

    def copy(state: str) -> Checkout:
        made.append(states.copy(state, tmp_path / f"another-{len(made)}"))
        return made[-1]

    yield copy
    for each in made:
        each.end()
        states.drop(each)


@pytest.fixture
def built(another: Another) -> Checkout:
    """The run that is due, of fct_readings and agg_stations_daily, is built and not judged yet."""
    return another("built")


@pytest.fixture
def wide(another: Another) -> Checkout:
    """The small project with more marts; a few days of `histories.DAYS` are published."""
    return another("begun")


@pytest.fixture
def project(published: Checkout) -> Project:
    """The small project, two days published, for more models."""
    return Project(published)
