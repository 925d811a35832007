from __future__ import annotations

from datetime import date, timedelta

import pytest

from orchestration.planning.graph import Graph, Node, Partitioning
from orchestration.planning.reach import Changes, Work, decide

DAY = date(2013, 12, 30)
LONG_AGO = date(2013, 1, 1)
DAILY = Partitioning("d")


def node(
    name: str, *parents: str, form: str = "table", by: Partitioning | None = None, kind: str = ""
) -> Node:
    kind = kind or "model"
    form = "incremental" if by and form == "table" else form
    return Node(name, name, kind, "test" if kind == "test" else form, "s", parents, by)


def view(name: str, *parents: str, by: Partitioning | None = None) -> Node:
    return node(name, *parents, form="view", by=by)


def works(*nodes: Node, **changes: object) -> dict[str, Work]:
    graph = Graph(nodes, {s: s for s in ("flights", "weather", "planes")})
    sources = {k: v for k, v in changes.items() if k in graph.sources}
    others = {k: v for k, v in changes.items() if k not in graph.sources}
    decided = decide(graph, Changes(sources, {LONG_AGO, DAY}, **others))  # type: ignore[arg-type]
    return {work.node.name: work for work in decided}


def test_a_change_reaches_what_hangs_on_it_and_nothing_else() -> None:
    found = works(
        view("staged", "flights", by=DAILY),
        node("fct", "staged", "weather", by=DAILY),
        node("agg", "fct", by=DAILY),
        node("other", "planes", by=DAILY),
        weather={DAY},
    )
    assert {name for name, work in found.items() if work.is_selected} == {"fct", "agg"}
    assert found["agg"].partitions == {DAY}
    assert not found["agg"].is_full
    assert found["other"].why == "nothing it reads changed"
    assert found["agg"].why == "weather changed"


def test_the_dates_of_all_parents_reach_a_model() -> None:
    other_day = DAY - timedelta(5)
    found = works(
        view("staged", "flights", by=DAILY), view("observed", "weather", by=DAILY),
        node("fct", "staged", "observed", by=DAILY), node("tcf", "observed", "staged", by=DAILY),
        flights={DAY}, weather={other_day},
    )  # fmt: skip
    assert found["fct"].partitions == found["tcf"].partitions == {DAY, other_day}


def test_days_after_add_up_along_the_way() -> None:
    found = works(
        node("fct", "flights", by=Partitioning("d", days_after=1)),
        node("rolling", "fct", by=Partitioning("d", days_after=2)),
        flights={DAY},
    )
    assert found["fct"].partitions == {DAY, DAY + timedelta(1)}
    assert found["rolling"].partitions == {DAY + timedelta(n) for n in range(4)}


def test_a_month_is_reached_by_each_of_its_days_and_reaches_all_of_them() -> None:
    found = works(
        node("monthly", "flights", by=Partitioning("m", "month", days_after=3)),
        node("daily", "monthly", by=DAILY),
        flights={DAY},
    )
    assert found["monthly"].partitions == {date(2013, 12, 1), date(2014, 1, 1)}
    assert found["daily"].partitions == {date(2013, 12, 1) + timedelta(n) for n in range(62)}


def test_a_model_without_partitions_is_rebuilt_whole_and_reaches_every_date() -> None:
    found = works(
        view("staged", "planes"),
        node("dim", "staged"),
        node("fct", "dim", by=DAILY),
        planes={DAY},
    )
    assert not found["staged"].is_selected, "the view shows what is new by itself"
    assert found["dim"].is_selected
    assert found["fct"].partitions == {LONG_AGO, DAY}


def test_changed_code_rebuilds_all_rows_of_one_model_and_the_data_those_of_another() -> None:
    found = works(
        node("fct", "flights", by=DAILY),
        node("agg", "fct", by=DAILY),
        flights={DAY},
        rewritten={"agg": "its SQL changed"},
    )
    assert (found["fct"].is_full, found["fct"].partitions) == (False, {DAY})
    assert (found["agg"].is_full, found["agg"].why) == (True, "its SQL changed")


def test_what_an_unpublished_run_rebuilt_is_rebuilt_again_and_its_children_too() -> None:
    found = works(
        node("fct", "flights", by=DAILY),
        node("agg", "fct", by=DAILY),
        node("dim", "planes"),
        pending={"fct": {DAY}},
        pending_nodes=frozenset({"dim"}),
    )
    assert found["fct"].partitions == found["agg"].partitions == {DAY}
    assert found["dim"].is_full


def test_a_view_is_made_again_when_the_table_under_it_is() -> None:
    found = works(node("dim", "planes"), view("over", "dim"), view("above", "over"), planes={DAY})
    assert found["over"].is_selected
    assert found["above"].is_selected


@pytest.mark.parametrize(
    ("changed", "selected", "full"),
    [
        ({"flights": {DAY}}, True, False),
        ({"planes": {DAY}}, True, True),
        ({"weather": {DAY}}, False, False),
        ({"rewritten": {"fct": "."}}, True, True),
        ({"rewritten": {"test": "it is new"}}, True, True),
    ],
)
def test_a_test_reads_only_rebuilt_partitions_if_nothing_else_it_reads_changed(
    changed: dict[str, object], selected: bool, full: bool
) -> None:
    found = works(
        node("fct", "flights", by=DAILY),
        node("dim", "planes"),
        node("wet", "weather", by=DAILY),
        node("test", "fct", "dim", kind="test"),
        **changed,
    )["test"]
    assert (found.is_selected, found.is_full) == (selected, full)
