"""What faults are measured by: the `due` state's run, as it ends when nothing disturbs it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from tests.support import shared, states
from tests.support.checkout import Checkout, Digests
from tests.support.points import quiet

_RAW = " union all ".join(
    f"select _delivery_id as delivery_id from raw.{source}" for source in ("readings", "stations")
)


def before() -> Digests:
    """What is published while the run is due."""
    return _known()["before"]


def after() -> Digests:
    """What that run makes of it."""
    return _known()["after"]


@cache
def _known() -> dict[str, Digests]:
    kept = shared.once("undisturbed", _look) / "digests"
    return {
        when: {mart: (count, digest) for mart, (count, digest) in marts.items()}
        for when, marts in json.loads(kept.read_text()).items()
    }


def _look(folder: Path) -> None:
    known = {}
    for when, state in (("before", "due"), ("after", "caught_up")):
        made = states.copy(state, folder / when)
        known[when] = made.digests()
        states.drop(made)
    assert known["after"] != known["before"]
    (folder / "digests").write_text(json.dumps(known))


def require_nothing_half_done(made: Checkout, published: Digests | None = None) -> None:
    """What holds at any time: a whole publication, whole deliveries, no secret in a log.

    Args:
        published: what may be published instead of `before()`.
    """
    assert made.digests() in (before() if published is None else published, after())
    assert made.query(
        "select delivery_id from ops.deliveries"
        f" full join (select delivery_id, count(*) as loaded from ({_RAW}) as rows group by 1)"
        " as there using (delivery_id)"
        " where rows_received is distinct from rows_loaded + rows_quarantined"
        " or rows_loaded is distinct from coalesce(loaded, 0)"
    ) == []  # fmt: skip
    passfile = _passfile(made)
    password = passfile.read_text().strip().rsplit(":", 1)[1]
    logs = [*made.var.rglob("*.log"), *made.folder.glob("said-*"), passfile.parent / "server.log"]
    assert any(log.name == "dbt.log" for log in logs)
    assert [log for log in logs if password in log.read_text(errors="replace")] == []


def require_rerun_converges(
    made: Checkout, published: Digests | None = None, variables: dict[str, str] | None = None
) -> None:
    """One plain re-run gives what an undisturbed run gives, and leaves nothing to do.

    Args:
        published: what is published if the disturbed run published nothing; else `before()`.
        variables: more of them, for the re-run.
    """
    quiet(made)
    require_nothing_half_done(made, published)
    made.call("run", code=0, **variables or {})
    require_nothing_half_done(made)
    assert made.digests() == after()
    assert made.has_nothing_to_do()


def _passfile(made: Checkout) -> Path:
    """Where the server's password lies, as `make env` tells it."""
    (line,) = (line for line in made.call("env").splitlines() if "PGPASSFILE=" in line)
    return Path(line.split("=", 1)[1])
