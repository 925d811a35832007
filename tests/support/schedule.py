"""Which tests go where in a run of several workers: a file at a time, the longest first.

All of `tests/runners` goes to one worker: its tests share one Airflow and one Prefect.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

_TOGETHER = "tests/runners/"
# What one would wait for if it came last comes first.
_FIRST = (_TOGETHER, "tests/pipeline/test_equivalence", "tests/backfill/test_histories",
          "tests/test_quality", "tests/faults/", "tests/backfill/", "tests/pipeline/")  # fmt: skip


class ByFile(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _TOGETHER if nodeid.startswith(_TOGETHER) else nodeid.split("::")[0]


def order(items: list[pytest.Item]) -> None:
    """Sort tests by when they should begin."""

    def place(item: pytest.Item) -> int:
        found = (n for n, name in enumerate(_FIRST) if item.nodeid.startswith(name))
        return next(found, len(_FIRST))

    items.sort(key=place)
