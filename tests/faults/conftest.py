"""The state that faults happen in: see `world.py`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.world import World


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every", action="store_true", help="let every single operation fail once")


@pytest.fixture(scope="session")
def only_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("faults"))
    yield made
    made.end()


@pytest.fixture
def world(only_world: World) -> Iterator[World]:
    """Two days are published; a correction and a third day have landed."""
    only_world.reset()
    yield only_world
    only_world.tidy()
