"""How far changes reach: which nodes one run builds or tests again, which of their rows, and why.

Pure: decides from the graph and from what changed; reads and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestration.planning.graph import Dates, Graph, Node


@dataclass(frozen=True)
class Changes:
    """What differs between what was published last and what is there now.

    Attributes:
        sources: the dates whose active delivery changed, by the source's name.
        every_date: all dates that any source ever delivered.
        rewritten: why a node's code, or its lost table, asks for all of its rows, by unique id.
        pending: the partitions that unpublished runs rebuilt, by the model's name.
        pending_nodes: unique ids of what unpublished runs built in full.
        is_chunk: `every_date` are the dates of a backfill's chunk; no partitioned model is rebuilt
            beyond what they reach.
        covered: unique ids of models all of whose dates lie within that chunk: made anew at once.
        only: unique ids of the nodes that a backfill is limited to; None means all.
    """

    sources: dict[str, Dates]
    every_date: Dates
    rewritten: dict[str, str] = field(default_factory=dict)
    pending: dict[str, Dates] = field(default_factory=dict)
    pending_nodes: frozenset[str] = frozenset()
    is_chunk: bool = False
    covered: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def includes(self, node: Node) -> bool:
        return self.only is None or node.unique_id in self.only


@dataclass(frozen=True)
class Work:
    """What a run does about one node.

    Attributes:
        is_selected: dbt builds or tests it. A view shows changed rows without being built.
        is_full: any of its rows may differ; otherwise only those of `partitions`.
        partitions: first dates of the partitions whose rows may differ.
        why: in words, also for a node that is left alone.
    """

    node: Node
    is_selected: bool
    is_full: bool
    partitions: Dates
    why: str

    @property
    def is_touched(self) -> bool:
        """Its rows may differ from the published ones."""
        return self.is_full or bool(self.partitions)


@dataclass
class _Reach:
    dates: Dates = field(default_factory=set)
    sources: set[str] = field(default_factory=set)


def decide(graph: Graph, changes: Changes) -> list[Work]:
    """What to do about every node, parents first."""
    reached = {
        unique_id: _Reach(set(changes.sources.get(name, ())), {name})
        for unique_id, name in graph.sources.items()
    }
    done: dict[str, Work] = {}
    replaced: set[str] = set()  # relations that dbt drops and makes again, views on them included
    for node in graph.nodes:
        if node.is_test:
            continue
        reach = _Reach()
        for parent in node.parents:
            if up := reached.get(parent):
                reach.dates |= up.dates
                reach.sources |= up.sources if up.dates else set()
        work = _build(node, reach, changes, lost=not replaced.isdisjoint(node.parents))
        reached[node.unique_id] = _Reach(_dates(work, changes), reach.sources)
        if not changes.includes(node):
            work = _left_alone(work, changes)
        done[node.unique_id] = work
        if work.is_selected and (work.is_full or node.form != "incremental"):
            replaced.add(node.unique_id)
    tests = [_test(node, done, changes) for node in graph.nodes if node.is_test]
    return [*done.values(), *tests]


def _build(node: Node, reach: _Reach, changes: Changes, *, lost: bool) -> Work:
    rewritten = changes.rewritten.get(node.unique_id)
    if rewritten and not (changes.is_chunk and node.partitioning):
        return Work(node, node.form != "ephemeral", True, set(), rewritten)
    if node.unique_id in changes.pending_nodes:
        return Work(node, True, True, set(), "an unpublished run rebuilt it")
    if node.unique_id in changes.covered and reach.dates:
        return Work(node, True, True, set(), f"{_because(reach)}, at all its dates")
    partitions: Dates = set()
    if node.partitioning:
        partitions = node.partitioning.reached_by(reach.dates)
        partitions |= changes.pending.get(node.name, set())
    is_full = bool(reach.dates) and not node.partitioning
    is_touched = is_full or bool(partitions)
    why = _because(reach) if is_touched else "nothing it reads changed"
    if node.is_view and rewritten:
        return Work(node, node.form != "ephemeral", False, partitions, rewritten)
    if node.is_view and lost:
        why = "a table under it is made anew"
    elif node.is_view and is_touched:
        why = f"a view needs no building; {why}"
    return Work(node, lost if node.is_view else is_touched, is_full, partitions, why)


def _left_alone(work: Work, changes: Changes) -> Work:
    """What is left of `work` on a node that a backfill leaves out: what has to be tidied up."""
    if work.node.unique_id in changes.pending_nodes:
        return work
    partitions = changes.pending.get(work.node.name, set()) if work.node.partitioning else set()
    is_selected = bool(partitions) and not work.node.is_view
    return Work(work.node, is_selected, False, partitions, work.why)


def _because(reach: _Reach) -> str:
    if not reach.dates:
        return "an unpublished run rebuilt these partitions"
    return f"{' and '.join(sorted(reach.sources))} changed"


def _dates(work: Work, changes: Changes) -> Dates:
    """The dates at which rows of `work` may be new to its children."""
    if work.is_full:
        return changes.every_date
    return work.node.partitioning.dates_of(work.partitions) if work.node.partitioning else set()


def _test(node: Node, done: dict[str, Work], changes: Changes) -> Work:
    if node.kind == "unit_test":  # no row of the warehouse matters to it
        changed = changes.rewritten.get(node.unique_id) if changes.includes(node) else None
        return Work(node, bool(changed), True, set(), changed or "its model's SQL did not change")
    touched = [
        done[parent] for parent in node.parents if parent in done and done[parent].is_touched
    ]
    is_full = any(work.is_full for work in touched)
    if why := changes.rewritten.get(node.unique_id):
        return Work(node, True, is_full or not (changes.is_chunk and touched), set(), why)
    names = ", ".join(work.node.name for work in touched)
    why = f"{names} changed" if touched else "nothing it reads changed"
    return Work(node, bool(touched), is_full, set(), why)
