"""Whatever lands: no row is lost, and nothing reaches PostgreSQL that it refuses."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ingest.given import count
from tests.support.checkout import Checkout
from tests.support.files import DAY, HEADER, reading

NAMES = HEADER.split(",")
DAYS = [DAY + timedelta(n) for n in range(6)]
Bodies = tuple[list[bytes], ...]

cells = st.one_of(
    st.text(max_size=12), st.integers().map(str), st.floats().map(str), st.just("NA"),
    st.sampled_from(["2013", "AAA", "ada", "2013-03-09T10:00:00Z", "1e400", "\u0661", "\ufeff"]),
)  # fmt: skip
hours = st.integers(0, 9999)


def _quoted(row: list[str]) -> bytes:
    escaped = (cell.replace('"', '""') for cell in row)
    return ",".join(f'"{cell}"' for cell in escaped).encode("utf-8", "surrogatepass")


def _lines(day: date) -> st.SearchStrategy[bytes]:
    """Lines of a day's file: any bytes, valid rows, rows of odd cells, and with one odd cell."""

    def changed(hour: int, name: str, value: str) -> bytes:
        row = reading(day, hour).split(",")
        row[NAMES.index(name)] = value
        return ",".join(row).encode("utf-8", "surrogatepass")

    return st.one_of(
        st.binary(max_size=60),
        st.builds(lambda hour: reading(day, hour).encode(), hours),
        st.lists(cells, min_size=len(NAMES), max_size=len(NAMES)).map(_quoted),
        st.builds(changed, hours, st.sampled_from(NAMES), cells),
    )


# The first may be empty, the others have at least as many lines as their number says.
bodies_of_days = st.tuples(
    *(st.lists(_lines(day), min_size=n, max_size=30) for n, day in enumerate(DAYS))
)


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(bodies=bodies_of_days)
def test_no_row_is_lost_whatever_lands(empty: Checkout, bodies: Bodies) -> None:
    """In files of a few days at once, which are loaded however many of their rows are bad."""
    contract = empty.project / "contracts/readings.yml"
    contract.write_text(contract.read_text().replace("value: 0.1", "value: 1"))
    newest = empty.value("select coalesce(max(delivery_id), 0) from ops.deliveries")
    for day, body in zip(DAYS, bodies, strict=True):
        empty.deliver(b"\n".join([HEADER.encode(), *body]) + b"\n", day)
    process = empty.start("ingest")
    assert process.wait() in (0, 4), process.said
    found = empty.query(
        "select outcome, coalesce(reason, ''), rows_loaded, rows_quarantined,"
        " (select count(*) from raw.readings where _delivery_id = delivery_id),"
        " (select count(*) from quarantine.readings as q where q.delivery_id = d.delivery_id)"
        " from ops.deliveries as d where delivery_id > %s", newest
    )  # fmt: skip
    assert len(found) == len(DAYS)
    for outcome, reason, loaded, held, in_raw, in_quarantine in found:
        assert "PostgreSQL refuses" not in reason, "validation missed something"
        assert (in_raw, in_quarantine) == (loaded, held)
        assert outcome == "loaded" or loaded == held == 0
    before = count(empty)
    assert "nothing new has landed" in empty.call("ingest")
    assert count(empty) == before
