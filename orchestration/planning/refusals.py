"""What a project may not ask for, because the ledger could not keep it right: all of it at once.

A run rebuilds partitions, and publication replaces exactly those. That holds only for models that
are built so; everything else is said here, before anything is built.

Reads dbt's manifest, which suites are there, and what is published; writes nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration import database
from orchestration.errors import UsageError
from orchestration.manifest import CANDIDATE, is_mart
from orchestration.planning import macros, shapes

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

GRAINS = ("day", "month")
STRATEGY = "replace_partitions"
_FILTER = "is_in_run_partitions"
_NOUNS = {"view": "a view", "ephemeral": "an ephemeral model"}
_WITHOUT_ROWS = tuple(_NOUNS)
_FORMS = ("table", "incremental", *_WITHOUT_ROWS)
# Schemas that steps other than build write.
_NOT_DBTS = ("raw", "quarantine", "ops", "published", "history", "pg_catalog", "information_schema")
_LONGEST_NAME = 63  # bytes; PostgreSQL cuts what is longer
# `history.<mart>` has these beside the mart's own.
_TAKEN_COLUMNS = ("_publication_id", "_change")
_REFERENCES = re.compile(r"\bforeign\s+key\b|\breferences\s+[\"\w{]", re.IGNORECASE)
_COMMENTS = re.compile(r"\{#.*?#\}|/\*.*?\*/|--[^\n]*", re.DOTALL)


def require_none(
    manifest: Manifest, project: Path, connection: database.Connection | None = None
) -> None:
    """Let only a project pass whose models the ledger can keep right.

    Args:
        connection: where what is published is; without it, shapes are not looked at.

    Raises:
        UsageError: it names every model that it cannot, why, and what would do.
    """
    reasons = sorted(set(_found(manifest, project, connection)))
    if not reasons:
        return
    raise UsageError(
        "The project asks for what cannot be kept right:\n"
        + "\n".join(f"           - {reason}" for reason in reasons),
        kept="Nothing was planned or built; the published marts are untouched.",
        todo="Make these changes, then run the same command again.",
    )


def _found(
    manifest: Manifest, project: Path, connection: database.Connection | None
) -> Iterator[str]:
    built: dict[str, list[str]] = defaultdict(list)
    nodes: list[Any] = list(manifest.nodes.values())
    called = macros.Macros(manifest)
    for node in nodes:
        kind = str(node.resource_type)
        if kind in ("model", "seed"):
            built[node.alias].append(node.original_file_path)
        if kind == "snapshot":
            yield _snapshot(node)
        if kind == "model":
            calls_filter = _calls_filter(called, node)
            said = (
                *_form(node, calls_filter), *_partitioning(node), *_place(node),
                *_foreign_keys(node),
            )  # fmt: skip
            if is_mart(node):
                said += tuple(_mart(node, project))
            yield from (f"{node.alias}: {reason}" for reason in said)
    if connection:
        marts = [node for node in nodes if is_mart(node) and node.config.contract.enforced]
        yield from shapes.refused(connection, marts)
        schemas = {node.schema for node in nodes if str(node.resource_type) in ("model", "seed")}
        yield from shapes.bound(connection, schemas.difference(_NOT_DBTS))
    for name, paths in built.items():
        if len(paths) > 1:
            both = ", ".join(sorted(paths))
            yield f"{name}: two files make a relation of that name ({both}). Give one an `alias`."


def _snapshot(node: Any) -> str:
    return (
        f"{node.name}: a snapshot records when it happened to run, so the same deliveries and code"
        " would not give the same rows again. Derive the history from all deliveries in a model,"
        " as `dim_aircraft_history` does."
    )


def _form(node: Any, calls_filter: bool) -> Iterator[str]:
    """Materialisation, strategy and filter must fit."""
    form, column = str(node.config.materialized), node.config.meta.get("partition_column")
    where = f"`where {{{{ {_FILTER}('{column or '<date>'}') }}}}`"
    if form not in _FORMS:
        yield (
            f"it is materialised as {form}, of which no run knows what it holds."
            " Make it a table, or incremental."
        )
        return
    if form in _WITHOUT_ROWS:
        if calls_filter:
            yield (
                f"{_NOUNS[form]} has no rows of its own, so {_FILTER} would fix it to the dates"
                " of one run. Take the filter out; it belongs into the incremental models that"
                " read it."
            )
        return
    if form == "table":
        if column:
            yield (
                "it is a table, which each run builds anew, and has a partition_column, by which"
                " only the changed dates would be published. Make it `materialized: incremental`"
                f" with {where}, or take partition_column out."
            )
        return
    if not column:
        yield (
            "it is incremental, and nothing says to which date a row belongs, so corrected rows"
            f" would be added again. Set `meta: {{partition_column: <date>}}` and put {where} on"
            " what it reads, or make it a table."
        )
    strategy = node.config.incremental_strategy
    if strategy != STRATEGY:
        yield (
            f"its incremental_strategy is {strategy or 'the default'}, which knows nothing of"
            f" corrected and withdrawn days. Set `incremental_strategy: {STRATEGY}`."
        )
    if column and not calls_filter:
        yield (
            "its SQL does not ask for the dates that a run is about, so all others would be added"
            f" again. Put {where} on every dated table that it reads."
        )


def _partitioning(node: Any) -> Iterator[str]:
    meta = node.config.meta
    grain, days_after = meta.get("partition_grain", "day"), meta.get("days_after", 0)
    is_number = isinstance(days_after, int) and not isinstance(days_after, bool)
    if meta.get("partition_column") and (grain not in GRAINS or not is_number or days_after < 0):
        yield (
            f"partition_grain {grain!r} with days_after {days_after!r} means nothing."
            f" The grain is {' or '.join(GRAINS)}, days_after a whole number from 0 on."
        )
    if meta.get("partition_column") and node.columns:
        yield from _partition_column(node, meta["partition_column"])
    minutes = meta.get("due_after_minutes", 0)
    if not isinstance(minutes, int | float) or isinstance(minutes, bool) or minutes < 0:
        yield (
            f"due_after_minutes {minutes!r} is no number of minutes. It says how long after its"
            " sources the mart is due; leave it out for no promise."
        )


def _partition_column(node: Any, name: str) -> Iterator[str]:
    """It is one of the declared columns: a date, never null, written as the table has it."""
    column = node.columns.get(name)
    if column is None:
        if node.config.contract.enforced:
            yield f"its partition_column {name} is none of its columns: {', '.join(node.columns)}."
        return
    if column.data_type and column.data_type.strip().lower() != "date":
        yield (
            f"its partition_column {name} is declared as {column.data_type}, and partitions are"
            " dates. Add a column of type date, and name that one."
        )
    if name != name.lower() and not column.quote:
        yield (
            f"its partition_column {name} is not quoted, so the table has {name.lower()}. Write it"
            " in lower case, or set `quote: true` on the column."
        )
    is_demanded = any(c.type == "not_null" for c in column.constraints)
    if is_mart(node) and not is_demanded and name not in shapes.key_of(node):
        yield (
            f"its partition_column {name} may be null, and a row without a date is in no"
            " partition. Add `constraints: [{type: not_null}]` to the column."
        )


def _place(node: Any) -> Iterator[str]:
    """Built where somebody looks, and nowhere else."""
    schema = node.config.schema
    if schema is None and node.config.materialized != "ephemeral":
        yield (
            f"{node.original_file_path} lies in none of the folders that dbt_project.yml gives a"
            f" schema, so nobody would audit or publish it. Move it, or set `schema: {CANDIDATE}`"
            " for a mart, `intermediate` or `staging` for what marts are made of."
        )
    if schema in _NOT_DBTS:
        yield f"it would be built in schema {schema}, which is not dbt's. Choose another `schema`."
    if node.original_file_path.startswith("models/marts/") and schema != CANDIDATE:
        yield (
            f"it lies below models/marts and is built in schema {schema}, where nobody audits or"
            f" publishes it. Take `schema: {schema}` out, or move it to models/intermediate."
        )
    for name in (node.alias, *node.columns):
        if len(name.encode()) > _LONGEST_NAME:
            yield f"{name} is longer than {_LONGEST_NAME} bytes, as no name in PostgreSQL may be."


def _mart(node: Any, project: Path) -> Iterator[str]:
    if node.config.materialized in _WITHOUT_ROWS:
        yield (
            f"it is a mart, and as {_NOUNS[node.config.materialized]} has no rows to audit and"
            " publish."
            " Make it a table."
        )
        return
    if not node.config.contract.enforced:
        yield (
            "it is a mart without an enforced contract, so its key would not be built."
            " Set `contract: {enforced: true}`."
        )
    if not shapes.key_of(node):
        yield (
            "it is a mart without a primary key, by which publication compares rows."
            " Declare one in its yml: constraints, `type: primary_key`."
        )
    if others := sorted(set(node.config.grants) - {"select"}):
        yield (
            f"it grants {', '.join(others)}, and nobody but a publication may write a mart."
            " Grant `select` alone."
        )
    suite = project / "expectations" / f"{node.alias}.json"
    if not suite.is_file():
        yield (
            f"it is a mart without a suite. Say in expectations/{suite.name} what must hold before"
            " anybody sees it."
        )
    if taken := [name for name in node.columns if name.lower() in _TAKEN_COLUMNS]:
        yield (
            f"its column {taken[0]} has a name that the history of each mart needs itself."
            " Give it another one."
        )


def _foreign_keys(node: Any) -> Iterator[str]:
    """None ties it to another relation; it would be lost whenever that is built anew."""
    said = []
    if node.config.contract.enforced:  # else dbt builds none
        said += node.constraints
        said += [c for column in node.columns.values() for c in column.constraints]
    hooks = [hook.sql for hook in (*node.config.pre_hook, *node.config.post_hook)]
    texts = [*(str(constraint.expression or "") for constraint in said), *hooks]
    if any(c.type == "foreign_key" for c in said) or any(map(_REFERENCES.search, texts)):
        yield (
            "it has a foreign key, which vanishes whenever the table that it refers to is built"
            " anew. Test `relationships` on that column instead; a failed test blocks the gate."
        )


def _calls_filter(called: macros.Macros, node: Any) -> bool:
    """Whether its SQL, or a macro of the project's that it calls, asks for a run's dates."""
    mine = called.below(node.depends_on.macros)
    texts = (macro.macro_sql for macro in mine if not macros.is_ours(macro))
    return any(_asks(text) for text in (node.raw_code, *texts))


def _asks(text: str) -> bool:
    return re.search(rf"\b{_FILTER}\s*\(", _COMMENTS.sub(" ", text)) is not None
