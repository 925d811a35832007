"""Airflow and Prefect, each started by the first test that needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import orchestrators
from tests.support.orchestrators import Airflow, Prefect
from tests.support.receiver import Receiver


@pytest.fixture(scope="session")
def collector() -> Iterator[Receiver]:
    """Takes the lineage of all that the two runners do, as a catalogue would."""
    with Receiver().up() as receiver:
        yield receiver


@pytest.fixture
def prefect(collector: Receiver) -> Prefect:
    return orchestrators.prefect(OPENLINEAGE_URL=collector.address)


@pytest.fixture
def airflow(collector: Receiver) -> Airflow:
    return orchestrators.airflow(OPENLINEAGE_URL=collector.address)
