"""The backfill that faults happen to: the three days of the `due` state, one a chunk."""

from __future__ import annotations

from datetime import timedelta

from tests.faults.converge import after
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.points import quiet

LAST = files.DAY + timedelta(2)
THREE_DAYS = ("backfill", "--start", str(files.DAY), "--end", str(LAST), "--chunk", "day")


def published_chunks(made: Checkout) -> list[int]:
    """The numbers of the chunks whose runs were published, in that order."""
    rows = made.query(
        "select lower(covers) - %s::date + 1 from ops.publications"
        " inner join ops.runs using (run_id) where backfill_id is not null order by publication_id",
        files.DAY,
    )
    return [number for (number,) in rows]


def require_all_of_it(made: Checkout) -> None:
    """Each chunk is published once, and the marts are those of an undisturbed run."""
    quiet(made)
    assert made.query("select state from ops.backfills") == [("finished",)]
    assert published_chunks(made) == [1, 2, 3]
    assert made.digests() == after()
    assert "nothing was delivered or changed" in made.call("run")
