"""Which tests go where in a run of several workers: a file at a time, the longest first.

Tests that share the one Airflow and the one Prefect go to one worker, the first. One waits for it
longest, so the others give way to it.
"""

from __future__ import annotations

import os

import pytest
from xdist.scheduler import LoadScopeScheduling

_TOGETHER = "tests/runners/"
_ALONE = "tests/runners/test_dags"  # shows DAGs without Airflow's servers
# What one would wait for if it came last comes first.
_FIRST = (_TOGETHER, "tests/backfill/test_histories",
          "tests/faults/", "tests/backfill/", "tests/pipeline/")  # fmt: skip


class ByFile(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        shares = nodeid.startswith(_TOGETHER) and not nodeid.startswith(_ALONE)
        return _TOGETHER if shares else nodeid.split("::")[0]


def give_way(worker: str) -> None:
    """Let the first worker, and what it starts, have the processor before this one."""
    if worker != "gw0":
        os.nice(5)


def order(items: list[pytest.Item]) -> None:
    """Sort tests by when they should begin."""

    def place(item: pytest.Item) -> int:
        found = (n for n, name in enumerate(_FIRST) if item.nodeid.startswith(name))
        return next(found, len(_FIRST))

    items.sort(key=place)
