"""From which columns each column of a model comes, by the SQL that dbt compiled.

Reads `var/dbt/compiled` and the database's catalogue; writes `var/lineage/columns.json`, so that
SQL is analysed once. Killed: the file is as it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orchestration import database
from orchestration.settings import Settings

# A column by the relation it is in, `schema.table`.
Column = tuple[str, str]
Schema = dict[str, dict[str, str]]
Columns = dict[str, list[Column]]


def catalogue(connection: database.Connection) -> Schema:
    """The columns of every relation that dbt reads or builds, with their types."""
    found: Schema = {}
    for relation, column, kind in connection.execute(
        "select nspname || '.' || relname, attname, format_type(atttypid, atttypmod)"
        " from pg_attribute inner join pg_class on attrelid = pg_class.oid"
        " inner join pg_namespace on relnamespace = pg_namespace.oid"
        " where nspname in ('raw', 'seeds', 'staging', 'intermediate', 'candidate', 'published')"
        " and relkind in ('r', 'v') and attnum > 0 and not attisdropped order by attrelid, attnum"
    ):
        found.setdefault(relation, {})[column] = kind
    return found


def of_models(settings: Settings, schema: Schema, paths: dict[str, Path]) -> dict[str, Columns]:
    """For each column of the models in `paths`, those that its values come from.

    Args:
        paths: the compiled SQL of each model. One that cannot be understood is left out.
    """
    kept = settings.var / "lineage/columns.json"
    known: dict[str, Any] = _read(kept)
    found, now = {}, {}
    for name, path in paths.items():
        text = path.read_text(encoding="utf-8")
        read = {relation: columns for relation, columns in schema.items() if _names(text, relation)}
        key = hashlib.sha256((text + json.dumps(read)).encode()).hexdigest()
        if key not in known:
            now[key] = known[key] = _analyse(text, read)
        if known[key] is not None:
            found[name] = {
                column: [(relation, source) for relation, source in sources]
                for column, sources in known[key].items()
            }
    if now:
        _write(kept, known)
    return found


def _names(text: str, relation: str) -> bool:
    schema, _, table = relation.partition(".")
    return f'"{schema}"."{table}"' in text or relation in text


def _analyse(text: str, schema: Schema) -> Columns | None:
    # Imported here: with SQL that was analysed before, nobody needs it.
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import lineage

    nested: dict[str, dict[str, dict[str, str]]] = {}
    for relation, columns in schema.items():
        folder, _, table = relation.partition(".")
        nested.setdefault(folder, {})[table] = columns
    try:
        tree = parse_one(text, read="postgres")
        for found_table in tree.find_all(exp.Table):
            found_table.set("catalog", None)
        found = lineage(None, tree, nested, dialect="postgres", trim_selects=False, copy=False)
        return {name: sorted(set(_leaves(node.walk()))) for name, node in found.items()}
    except (SqlglotError, ValueError, RecursionError):
        return None


def _leaves(nodes: Iterable[Any]) -> Iterable[Column]:
    from sqlglot import exp

    for node in nodes:
        if not node.downstream and isinstance(node.expression, exp.Table) and node.expression.db:
            column = node.name.rpartition(".")[2].strip('"')
            yield f"{node.expression.db}.{node.expression.name}", column


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _write(path: Path, known: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(known), encoding="utf-8")
    new.replace(path)
