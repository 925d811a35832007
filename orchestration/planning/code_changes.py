"""Which nodes' code, shape or table is not what is published.

Reads the ledger and the catalogue; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from orchestration import database
from orchestration.planning import fingerprints
from orchestration.planning.fingerprints import Fingerprint
from orchestration.planning.graph import Dates, Graph, Node
from orchestration.planning.reach import Work
from orchestration.planning.standing import Standing

MISSING = "its table is missing"
UNKNOWN = "the code of what is published, if any, is not known"


def rewritten(
    connection: database.Connection,
    known: Graph,
    published: Standing,
    now: dict[str, Fingerprint],
    upstream: dict[str, Dates],
    there: set[tuple[str, str]] | None = None,
) -> dict[str, str]:
    """Why nodes need all rows built: their code is not the published one, or they are lost.

    Args:
        upstream: the dates of all that a node is made of, by its unique id.
        there: schema and name of what is not lost; None means all.
    """
    codes = {
        code: fingerprints.recall(connection, code)
        for code in {published.code_version, *(x.code_version for x in published.layers)}
    }
    why = {}
    for node in known.nodes:
        mine = now[node.unique_id]
        states = _states(node, published, codes, mine, upstream[node.unique_id])
        stale = [state for state in states if state is None or state.value != mine.value]
        before = next((state for state in stale if state), None)
        if stale and before is None and not codes[published.code_version]:
            why[node.unique_id] = UNKNOWN
        elif stale:
            why[node.unique_id] = mine.difference(before)
        elif there is not None and _is_lost(node, there):
            why[node.unique_id] = MISSING
        elif changed := _shape_changed(node, published, codes, mine):
            why[node.unique_id] = changed
    return why


def reshaped(
    connection: database.Connection,
    published: Standing,
    now: dict[str, Fingerprint],
    works: Iterable[Work],
) -> tuple[str, ...]:
    """The marts of `works` whose readers may have to wait: their tables get another shape."""
    before = fingerprints.recall(connection, published.code_version)
    return tuple(
        work.node.name
        for work in works
        if work.is_selected and work.is_full and work.node.is_mart
        and work.node.unique_id in before
        and any(
            before[work.node.unique_id].parts.get(part) != now[work.node.unique_id].parts[part]
            for part in ("its columns", *fingerprints.SHAPE)
        )
    )  # fmt: skip


def relations(connection: database.Connection) -> set[tuple[str, str]]:
    """Schema and name of every table and view."""
    rows = connection.execute(
        "select nspname, relname from pg_class inner join pg_namespace"
        " on pg_class.relnamespace = pg_namespace.oid where relkind in ('r', 'v', 'm', 'p')"
    )
    return {(schema, name) for schema, name in rows}


def _is_lost(node: Node, there: set[tuple[str, str]]) -> bool:
    return not node.is_test and node.form != "ephemeral" and (node.schema, node.name) not in there


def _states(
    node: Node,
    published: Standing,
    codes: dict[str | None, dict[str, Fingerprint]],
    mine: Fingerprint,
    dates: Dates,
) -> list[Fingerprint | None]:
    """The codes that the node's published rows were built by; None is an unknown one."""
    states: list[Fingerprint | None] = [codes[published.code_version].get(node.unique_id)]
    covered: Dates = set()
    for layer in published.layers:
        its = codes[layer.code_version].get(node.unique_id)
        if node.unique_id in layer.full or (node.is_view and node.unique_id in layer.built):
            states, covered = [its], set(dates)
        elif node.kind == "unit_test":
            states = [its] if node.unique_id in layer.built else states
        elif node.partitioning or node.kind == "test":
            states.append(its)
            same = its is not None and its.value == mine.value
            covered = covered | layer.dates if same else set()
            if same and covered >= dates:
                states = [its]
    return states


def _shape_changed(
    node: Node,
    published: Standing,
    codes: dict[str | None, dict[str, Fingerprint]],
    mine: Fingerprint,
) -> str | None:
    """What changed of its shape since its table was made; rebuilt partitions leave it as it is."""
    if node.form != "incremental":
        return None
    its = codes[published.code_version].get(node.unique_id)
    for layer in published.layers:
        if node.unique_id in layer.full or (its is None and node.unique_id in layer.built):
            its = codes[layer.code_version].get(node.unique_id)
    if its is None or all(its.parts.get(part) == mine.parts[part] for part in fingerprints.SHAPE):
        return None
    return mine.difference(its)
