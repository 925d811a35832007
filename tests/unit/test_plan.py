from __future__ import annotations

from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

from orchestration.plan import Reason, _partitions

DAY = date(2013, 12, 30)


def model(name: str, *parents: str, **meta: object) -> Any:
    return SimpleNamespace(
        unique_id=name, name=name, resource_type="model",
        depends_on=SimpleNamespace(nodes=list(parents)), config=SimpleNamespace(meta=meta),
    )  # fmt: skip


def manifest(*models: Any) -> Any:
    sources = {
        s: SimpleNamespace(unique_id=s, identifier=s) for s in ("flights", "weather", "planes")
    }
    return SimpleNamespace(sources=sources, nodes={m.unique_id: m for m in models})


def reason(pending: dict[str, set[date]] | None = None, **changed: set[date]) -> Reason:
    return Reason("changes", 1, "", changed, pending or {})


def test_a_change_reaches_what_hangs_on_it_and_nothing_else() -> None:
    graph = manifest(
        model("agg", "fct", partition_column="d"),
        model("fct", "view", "weather", partition_column="d"),
        model("view", "flights"),
        model("other", "planes", partition_column="d"),
    )
    assert _partitions(graph, reason(weather={DAY})) == {
        "fct": {DAY}, "agg": {DAY}, "other": set(),
    }  # fmt: skip


def test_days_after_add_up_along_the_way() -> None:
    graph = manifest(
        model("fct", "flights", partition_column="d", days_after=1),
        model("rolling", "fct", partition_column="d", days_after=2),
    )
    partitions = _partitions(graph, reason(flights={DAY}))
    assert partitions["fct"] == {DAY, DAY + timedelta(1)}
    assert partitions["rolling"] == {DAY + timedelta(n) for n in range(4)}


def test_what_an_unpublished_run_rebuilt_is_rebuilt_again_and_its_children_too() -> None:
    graph = manifest(
        model("fct", "flights", partition_column="d"), model("agg", "fct", partition_column="d")
    )
    assert _partitions(graph, reason({"fct": {DAY}})) == {"fct": {DAY}, "agg": {DAY}}
