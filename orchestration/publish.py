"""Step publish: candidate -> published, all marts in one transaction, with a passing verdict.

Reads the verdict and the candidate; writes `published`, `history` (pre-images), `ops.publications`
and `ops.publication_changes`. Killed: before the commit nothing happened, after it all did.
Readers neither wait nor fail: the tables keep their identity and only row locks are taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from orchestration import console, database, marts
from orchestration.digest import columns_of
from orchestration.errors import AirworthyError, GateBlocked, UsageError
from orchestration.gate import RUNBOOK, Verdict
from orchestration.marts import Mart

_LOCK_TIMEOUT = "2s"


@dataclass(frozen=True)
class Change:
    """What one publication did to one mart, in rows."""

    mart: str
    inserted: int
    updated: int
    deleted: int
    rows_after: int


@dataclass(frozen=True)
class Publication:
    publication_id: int
    changes: tuple[Change, ...]


def publish(connection: database.Connection, verdict: Verdict) -> Publication:
    """Make the audited candidate what readers see.

    Raises:
        GateBlocked: the verdict is not a pass, or the candidate is no longer the audited one.
        UsageError: a mart's shape changed in a way that readers would not survive.
        WarehouseBusy: another publication is under way.
    """
    run = verdict.run
    run.require(connection, "passed", "blocked")
    of_run = marts.of_run(connection, run.run_id)
    with database.only_one(connection, "publication"):
        for mart in of_run:
            _prepare(connection, mart)
        with connection.transaction():
            for mart in of_run:
                relation = database.relation("candidate", mart.name)
                connection.execute(sql.SQL("lock table {} in share mode").format(relation))
            _require_audited(connection, verdict)
            row = connection.execute(
                "insert into ops.publications (run_id, as_of, code_version, published_by)"
                " select run_id, as_of, code_version, requested_by from ops.runs"
                " where run_id = %s and token = %s returning publication_id",
                [run.run_id, run.token],
            ).fetchone()
            assert row is not None
            publication_id = int(row[0])
            changes = []
            with console.progress("publish", "marts", len(of_run)) as advance:
                for mart in of_run:
                    changes.append(_apply(connection, publication_id, mart))
                    advance(1, mart.name)
            run.advance(connection, "published")
    return Publication(publication_id, tuple(changes))


def _require_audited(connection: database.Connection, verdict: Verdict) -> None:
    row = connection.execute(
        "select passed, candidate_digest from ops.verdicts where run_id = %s",
        [verdict.run.run_id],
    ).fetchone()
    if row is None or not row[0] or not verdict.passed:
        raise GateBlocked(
            f"Run {verdict.run.run_id} has no passing verdict.",
            kept="The published marts are untouched.",
            todo=f"`make gate` shows what blocks; see {RUNBOOK}.",
        )
    if marts.candidate_digest(connection, verdict.run.run_id) != row[1]:
        raise GateBlocked(
            f"The candidate of run {verdict.run.run_id} changed after it was audited.",
            kept="The published marts are untouched.",
            todo="Run `make gate` to audit it as it is now, or `make run` to build it anew.",
        )


def _prepare(connection: database.Connection, mart: Mart) -> None:
    """Create the mart's published table, or add the columns it gained; readers go on."""
    candidate = columns_of(connection, "candidate", mart.name)
    published = columns_of(connection, "published", mart.name)
    if not candidate:
        raise AirworthyError(
            f"The candidate holds no {mart.name}.",
            kept="The published marts are untouched.",
            todo="Run `make run`; it builds it anew.",
        )
    changed = [name for name, kind in published.items() if candidate.get(name) != kind]
    if changed:
        raise UsageError(
            f"{mart.name}: {', '.join(changed)} dropped or retyped; readers rely on it.",
            kept="The published marts are untouched.",
            todo="Keep the column, or add a new version of the model beside the old one.",
        )
    relations = {
        "published": database.relation("published", mart.name),
        "candidate": database.relation("candidate", mart.name),
        "history": database.relation("history", mart.name),
    }
    added = [name for name in candidate if name not in published]
    with connection.transaction():
        connection.execute(
            sql.SQL("set local lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT))
        )
        if not published:
            _key(connection, mart)
            connection.execute(
                sql.SQL("create table {published} (like {candidate} including all)").format(
                    **relations
                )
            )
            connection.execute(
                sql.SQL(
                    "create table {history} (publication_id bigint not null,"
                    " change text not null, like {published});"
                    " create index on {history} (publication_id)"
                ).format(**relations)
            )
            _relax(connection, mart)
            return
        for name in added:
            for schema in ("published", "history"):
                connection.execute(
                    sql.SQL("alter table {} add column {} {}").format(
                        relations[schema], sql.Identifier(name), sql.SQL(candidate[name])
                    )
                )


def _relax(connection: database.Connection, mart: Mart) -> None:
    """Pre-images of inserted rows hold only the key: no other column may be demanded."""
    key = _key(connection, mart)
    for name in columns_of(connection, "published", mart.name):
        if name not in key:
            connection.execute(
                sql.SQL("alter table {} alter column {} drop not null").format(
                    database.relation("history", mart.name), sql.Identifier(name)
                )
            )


def _key(connection: database.Connection, mart: Mart) -> list[str]:
    rows = connection.execute(
        "select attname from pg_index join pg_attribute"
        " on attrelid = indrelid and attnum = any (indkey)"
        " where indrelid = %s::regclass and indisprimary order by attnum",
        [database.relation("candidate", mart.name).as_string(connection)],
    )
    key = [name for (name,) in rows]
    if not key:
        raise UsageError(
            f"The mart {mart.name} has no primary key; publication compares rows by it.",
            kept="The published marts are untouched.",
            todo="Declare one in the model's yml: constraints, type primary_key.",
        )
    return key


def _apply(connection: database.Connection, publication_id: int, mart: Mart) -> Change:
    """Bring one published mart to what the candidate holds, in the run's partitions."""
    key = _key(connection, mart)
    columns = list(columns_of(connection, "candidate", mart.name))
    compared = [name for name in columns if name not in key and not name.startswith("_")]
    parts = {
        "published": database.relation("published", mart.name),
        "candidate": database.relation("candidate", mart.name),
        "history": database.relation("history", mart.name),
        "columns": _list(columns),
        "key": _list(key),
        "publication": sql.Literal(publication_id),
        "in_run": mart.in_run(),
        "same_key": _pairs(key, "p.{0} = c.{0}", " and "),
        "same_key_as_history": _pairs(key, "p.{0} = h.{0}", " and "),
        "p_columns": _pairs(columns, "p.{0}", ", "),
        "c_columns": _pairs(columns, "c.{0}", ", "),
        "p_key": _pairs(key, "p.{0}", ", "),
        "c_key": _pairs(key, "c.{0}", ", "),
        "assignments": _pairs([c for c in columns if c not in key], "{0} = c.{0}", ", "),
        "p_compared": _pairs(compared, "p.{0}", ", "),
        "c_compared": _pairs(compared, "c.{0}", ", "),
    }
    counts = {name: _count(connection, text, parts) for name, text in _STATEMENTS.items()}
    rows = connection.execute(sql.SQL("select count(*) from {published}").format(**parts))
    change = Change(
        mart.name, counts["inserted"], counts["updated"], counts["deleted"],
        (rows.fetchone() or [0])[0],
    )  # fmt: skip
    connection.execute(
        "insert into ops.publication_changes values (%s, %s, %s, %s, %s, %s)",
        [publication_id, change.mart, change.inserted, change.updated, change.deleted,
         change.rows_after],
    )  # fmt: skip
    return change


# Each statement counts the rows it names. Pre-images come before the change they belong to.
_STATEMENTS = {
    "deleted": """
        with gone as (
            delete from {published} as p
            where {in_run}
            and not exists (select from {candidate} as c where {same_key})
            returning {p_columns}
        )
        insert into {history} (publication_id, change, {columns})
        select {publication}, 'delete', gone.* from gone
    """,
    "pre-images": """
        insert into {history} (publication_id, change, {columns})
        select {publication}, 'update', {p_columns}
        from {published} as p
        inner join (select * from {candidate} where {in_run}) as c on {same_key}
        where row({p_compared}) is distinct from row({c_compared})
    """,
    "updated": """
        update {published} as p set {assignments}
        from {candidate} as c, {history} as h
        where {same_key} and {same_key_as_history}
        and h.publication_id = {publication} and h.change = 'update'
    """,
    "inserted": """
        with new as (
            insert into {published} ({columns})
            select {c_columns}
            from (select * from {candidate} where {in_run}) as c
            where not exists (select from {published} as p where {same_key})
            returning {key}
        )
        insert into {history} (publication_id, change, {key})
        select {publication}, 'insert', new.* from new
    """,
}


def _count(connection: database.Connection, text: str, parts: dict[str, sql.Composable]) -> int:
    try:
        return connection.execute(sql.SQL(text).format(**parts)).rowcount
    except psycopg.errors.LockNotAvailable as error:
        raise AirworthyError(
            "A reader's lock stands in the way of the publication.",
            kept="The published marts are untouched.",
            todo="Run the same command again.",
        ) from error


def _list(names: list[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _pairs(names: list[str], template: str, separator: str) -> sql.Composable:
    return sql.SQL(separator).join(sql.SQL(template).format(sql.Identifier(name)) for name in names)
