"""What dbt's manifest says, in the planner's words; and what it may not say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestration.errors import UsageError
from orchestration.planning import graph


def read(**meta: Any) -> graph.Graph:
    """The graph of one mart with this meta."""
    config = SimpleNamespace(meta=meta, materialized="table", schema="candidate", group="testers")
    node = SimpleNamespace(
        resource_type="model", config=config, name="dim_tests", alias="dim_tests",
        unique_id="model.tests.dim_tests", schema="candidate", fqn=["tests", "dim_tests"],
        depends_on=SimpleNamespace(nodes=[]),
    )  # fmt: skip
    return graph.read(cast(Any, SimpleNamespace(nodes={node.unique_id: node}, sources={})))


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"due_after_minutes": "soon"}, "due_after_minutes 'soon' is no number"),
        ({"due_after_minutes": -1}, "due_after_minutes -1 is no number"),
        ({"due_after_minutes": True}, "due_after_minutes True is no number"),
        ({"partition_column": "day", "partition_grain": "week"}, "partition_grain 'week'"),
        ({"partition_column": "day", "days_after": -1}, "days_after -1 means nothing"),
    ],
)
def test_a_meta_that_makes_no_sense_is_named_with_its_model(
    meta: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=f"dim_tests: .*{message}"):
        read(**meta)


def test_a_promise_is_a_number_of_minutes_or_none() -> None:
    assert [node.name for node in read(due_after_minutes=90.5).nodes] == ["dim_tests"]
    assert [node.name for node in read().nodes] == ["dim_tests"]
