"""Each file as a whole: taken in once, or rejected whole with a reason that says what is wrong."""

from __future__ import annotations

import contextlib
import gzip
import time
from datetime import timedelta
from pathlib import Path

import psutil

from tests.ingest.given import count, outcomes, reason, rows
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.files import DAY, HEADER, reading

BROKEN: list[tuple[list[str] | bytes, str]] = [
    (b"", "the file is empty"),
    ([HEADER], "it has 0 rows, but the contract wants 1"),
    ([HEADER.replace("rain,", ""), reading()], "missing: rain"),
    ([HEADER + ",gate", reading() + ",A1"], "unknown: gate"),
    ([HEADER + ',"x); drop table raw.readings; --"', reading() + ",1"], "unknown: x); drop table"),
    ([HEADER.replace("rain", "month"), reading()], "missing: rain; doubled: month"),
    ([HEADER, reading(), reading(hour=1, rain=-1)], "of 2 rows break the contract, more than 10%"),
    ([HEADER, reading(observer='"N')], "a quote is opened and never closed"),
]


def test_a_file_that_breaks_the_contract_is_rejected_whole(empty: Checkout) -> None:
    days = [DAY + timedelta(n) for n in range(len(BROKEN))]
    for day, (content, _) in zip(days, BROKEN, strict=True):
        empty.deliver(content, day)
    said = empty.call("ingest", code=4)
    assert f"{len(BROKEN)} landed files were rejected" in said
    for day, (_, expected) in zip(days, BROKEN, strict=True):
        assert expected in reason(empty, files.path_of("readings", day))
        assert empty.path("readings", day).exists()
    assert BROKEN[0][1] in said
    assert outcomes(empty) == [("rejected", 0, 0)] * len(BROKEN)
    assert empty.value("select sum(rows_received) from ops.deliveries") == 0
    assert count(empty) == count(empty, "quarantine.readings") == 0
    assert "nothing new has landed" in empty.call("ingest"), "it is looked at once"
    assert len(outcomes(empty)) == len(BROKEN)


def test_a_broken_archive_is_rejected(empty: Checkout) -> None:
    cut, no_archive = (empty.path("readings", DAY + timedelta(n)) for n in range(2))
    empty.land(DAY)
    cut.write_bytes(gzip.compress("\n".join(files.readings()).encode())[:-20])
    no_archive.write_bytes(b"plain text")
    empty.call("ingest", code=4)
    for path in (cut, no_archive):
        found = reason(empty, str(path.relative_to(empty.landing)))
        assert "the file cannot be read" in found
    assert outcomes(empty) == [("rejected", 0, 0)] * 2
    assert count(empty) == 0


def test_a_field_of_100_megabytes_rejects_its_file_and_spares_the_memory(empty: Checkout) -> None:
    before, after = reading(hour=1, observer='"#"').split("#")
    path = empty.path("readings")
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write("\n".join([HEADER, reading(), before]).encode())
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(f"{after}\n".encode())
    process = empty.start("ingest")
    sizes = [0]
    while not process.has_ended():
        with contextlib.suppress(psutil.Error):
            sizes.append(psutil.Process(process.pid).memory_info().rss)
        time.sleep(0.01)
    assert process.wait() == 4
    assert max(sizes) - sizes[1] < 200_000_000, "bytes and text of it would be more"
    assert "a record is longer than 16 MiB" in reason(empty, files.path_of("readings", DAY))
    assert outcomes(empty) == [("rejected", 0, 0)]
    assert count(empty) == 0


def test_a_file_that_matches_no_contract_is_recorded(empty: Checkout) -> None:
    names = [
        "readings/2013/02/readings_2013-02-30.csv.gz", "readme.txt", "x/'; drop table t; --.csv",
        "a\udcff\n\x1b[31m.csv",
    ]  # fmt: skip
    paths = [files.write(empty.landing / name, ["a,b"]) for name in names]
    said = empty.call("ingest", code=4)
    found = empty.query("select uri, source, outcome, reason from ops.deliveries")
    shown = {*names[:-1], "a\\xff\\n\\x1b[31m.csv"}
    assert {uri for uri, *_ in found} == shown, "a name that is not text is shown as escapes"
    for uri, source, outcome, why in found:
        assert (source, outcome) == ("unmatched", "rejected")
        assert "matches no contract" in why
        assert f"rejected: {uri}: the path matches no contract" in said
    assert all(path.exists() for path in paths)


def test_the_same_bytes_are_never_loaded_twice(empty: Checkout) -> None:
    def land_again(path: Path) -> None:
        files.write(path, [HEADER, reading()])
        said = empty.call("ingest")
        assert f"duplicate: {path.relative_to(empty.landing)}: the same bytes as delivery 1" in said

    empty.deliver([HEADER, reading()])
    empty.call("ingest")
    land_again(empty.path("readings"))
    land_again(empty.path("readings", DAY + timedelta(1)))
    assert empty.query(
        "select outcome, duplicate_of from ops.deliveries order by delivery_id"
    ) == [("loaded", None), ("duplicate", 1), ("duplicate", 1)]  # fmt: skip
    assert count(empty) == 1


def test_a_corrected_file_supersedes_the_earlier_one(empty: Checkout) -> None:
    for rain in (0, 3):
        empty.deliver([HEADER, reading(rain=rain)])
        empty.call("ingest")
    assert outcomes(empty) == [("loaded", 1, 0)] * 2
    active = "(select delivery_id from ops.active_deliveries)"
    found = empty.query(f"select rain::int from raw.readings where _delivery_id in {active}")
    assert found == [(3,)]
    assert rows(empty, "rain::int", "readings") == [(0,), (3,)], (
        "the earlier rows stay: a running build may read them"
    )


def test_an_empty_landing_place_says_what_to_do(empty: Checkout) -> None:
    """What is still being written under a hidden name is not there yet."""
    for _ in range(2):
        said = empty.call("ingest", code=2)
        assert "is empty" in said
        assert "make land" in said
        path = empty.path("readings")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}").write_bytes(b"half a fi")
    assert outcomes(empty) == []
