from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration import database
from orchestration.errors import UsageError
from orchestration.ingesting.deliveries import Delivery
from orchestration.ingesting.ingest import ingest
from orchestration.settings import Settings
from tests.flights import HEADER, landed, relative_path, row, write

DAY = date(2013, 1, 1)


def deliver(
    given: Settings, connection: database.Connection, content: list[str] | bytes
) -> Delivery:
    write(landed(given, "flights", DAY), content)
    (delivery,) = ingest(given, connection)
    return delivery


def reasons(connection: database.Connection) -> dict[int, list[str]]:
    rows = connection.execute("select line, reasons from quarantine.flights order by line")
    return dict(rows.fetchall())


def raw_count(connection: database.Connection) -> int:
    return int((connection.execute("select count(*) from raw.flights").fetchone() or [0])[0])


def test_a_delivery_is_loaded_typed_and_traceable(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    delivery = deliver(empty_warehouse, connection, [HEADER, row(), row(flight=2, dep_time="NA")])
    assert (delivery.outcome, delivery.rows_loaded, delivery.rows_quarantined) == ("loaded", 2, 0)
    found = connection.execute(
        "select flight, dep_time, time_hour::text, _line, _slice_date, uri, sha256,"
        " contract_version"
        " from raw.flights join ops.deliveries on delivery_id = _delivery_id order by _line"
    ).fetchall()
    assert [r[:5] for r in found] == [
        (1545, 517, "2013-01-01 10:00:00+00", 2, DAY),
        (2, None, "2013-01-01 10:00:00+00", 3, DAY),
    ]
    assert found[0][5:] == (relative_path("flights", DAY), delivery.sha256, "1.0.0")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dep_time": "abc"}, "dep_time: 'abc' is not a whole number"),
        ({"distance": "99999999999999999999"}, "distance: '99999999999999999999' is not a whole"),
        ({"distance": "NaN"}, "distance: 'NaN' is not a whole number"),
        ({"carrier": "NA"}, "carrier: missing, but required"),
        ({"carrier": ""}, "carrier: missing, but required"),
        ({"origin": "BOS"}, "origin: 'BOS' is not one of EWR, JFK, LGA"),
        ({"dest": "Boston"}, "dest: 'Boston' does not match"),
        ({"month": "13"}, "month: '13' is above the maximum 12"),
        ({"day": "2"}, "day: '2' is not 1, as the file's date says"),
        ({"time_hour": "yesterday"}, "time_hour: 'yesterday' is not a point in time"),
        ({"tailnum": "N" * 11}, "tailnum: 'NNNNNNNNNNN' is longer than 10 characters"),
        ({"dest": "'; drop table raw.flights; --"}, "dest: ''; drop table raw.flights; --' does"),
    ],
)
def test_a_row_that_breaks_a_rule_is_quarantined_with_its_text_and_reason(
    empty_warehouse: Settings,
    connection: database.Connection,
    change: dict[str, str],
    reason: str,
) -> None:
    bad = row(**change)
    good = [row(flight=n) for n in range(1, 31)]
    delivery = deliver(empty_warehouse, connection, [HEADER, *good, bad])
    assert (delivery.outcome, delivery.rows_loaded, delivery.rows_quarantined) == ("loaded", 30, 1)
    held = connection.execute("select line, raw_text, reasons from quarantine.flights").fetchall()
    assert [(line, text) for line, text, _ in held] == [(32, bad)]
    assert any(given.startswith(reason) for given in held[0][2]), held


def test_a_row_gets_all_its_reasons(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    good = [row(flight=n) for n in range(1, 31)]
    deliver(empty_warehouse, connection, [HEADER, *good, row(carrier="NA", origin="BOS", month=0)])
    assert [text.split(":")[0] for text in reasons(connection)[32]] == [
        "month", "carrier", "origin", "month",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (row().encode() + b",extra", "has 20 fields instead of 19"),
        (b"2013,1,1", "has 3 fields instead of 19"),
        (b"", "has 0 fields instead of 19"),
        (row().encode()[:40], "has 12 fields instead of 19"),
        (row(tailnum="N\0").encode(), "holds a NUL character"),
        (row().encode().replace(b"N14228", b"N\xff\xfe"), "is not UTF-8 text"),
        (row().encode().replace(b"N14228", b'"N"1'), "cannot be cut into fields"),
    ],
)
def test_a_damaged_line_spoils_no_other(
    empty_warehouse: Settings, connection: database.Connection, line: bytes, reason: str
) -> None:
    good = [row(flight=n).encode() for n in range(1, 31)]
    content = b"\n".join([HEADER.encode(), *good[:15], line, *good[15:]]) + b"\n"
    delivery = deliver(empty_warehouse, connection, content)
    assert (delivery.outcome, delivery.rows_loaded, delivery.rows_quarantined) == ("loaded", 30, 1)
    ((number, (found,)),) = reasons(connection).items()
    assert number == 17
    assert found.startswith(reason)
    lines = connection.execute("select _line from raw.flights order by _line").fetchall()
    assert [n for (n,) in lines] == [*range(2, 17), *range(18, 33)]


def test_quotes_newlines_crlf_bom_and_a_missing_last_newline_are_read_as_meant(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    rows = [
        row(tailnum='"N,1"'), row(flight=2, tailnum='"N""2"'), row(flight=3, tailnum='"N\n3"'),
        row(flight=4, tailnum="=cmd()"), row(flight=5),
    ]  # fmt: skip
    content = b"\xef\xbb\xbf" + "\r\n".join([HEADER, *rows]).encode()
    delivery = deliver(empty_warehouse, connection, content)
    assert (delivery.rows_loaded, delivery.rows_quarantined) == (5, 0), reasons(connection)
    found = connection.execute("select tailnum, _line from raw.flights order by _line").fetchall()
    assert found == [("N,1", 2), ('N"2', 3), ("N\n3", 4), ("=cmd()", 6), ("N14228", 7)]


def test_columns_are_mapped_by_name(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    def turned(line: str) -> str:
        return ",".join(reversed(line.split(",")))

    quoted = turned(row(flight=2)).replace("N14228", '"N14228"')
    deliver(empty_warehouse, connection, [turned(HEADER), turned(row()), quoted])
    found = connection.execute("select year, flight, tailnum from raw.flights order by 2 desc")
    assert found.fetchall() == [(2013, 1545, "N14228"), (2013, 2, "N14228")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        ([HEADER], "it has 0 rows, but the contract wants 1"),
        ([HEADER.replace("dest,", ""), row()], "missing: dest"),
        ([HEADER + ",gate", row() + ",A1"], "unknown: gate"),
        ([HEADER + ',"x); drop table raw.flights; --"', row() + ",1"], "unknown: x); drop table"),
        ([HEADER.replace("dest", "origin"), row()], "missing: dest; doubled: origin"),
        ([HEADER, row(), row(flight=2, month=13)], "1 of 2 rows break the contract, more than 5%"),
        ([HEADER, row(tailnum='"N')], "a quote is opened and never closed"),
    ],
)
def test_a_file_that_breaks_the_contract_is_rejected_whole(
    empty_warehouse: Settings,
    connection: database.Connection,
    content: list[str] | bytes,
    reason: str,
) -> None:
    delivery = deliver(empty_warehouse, connection, content)
    assert delivery.outcome == "rejected"
    assert reason in str(delivery.reason)
    assert raw_count(connection) == 0
    assert reasons(connection) == {}
    recorded = connection.execute("select outcome, reason, rows_received from ops.deliveries")
    assert recorded.fetchall() == [("rejected", delivery.reason, 0)]
    assert ingest(empty_warehouse, connection) == [], "it is looked at once"


@pytest.mark.parametrize("damage", ["cut", "not gzip"])
def test_a_broken_archive_is_rejected(
    empty_warehouse: Settings, connection: database.Connection, damage: str
) -> None:
    path = landed(empty_warehouse, "flights", DAY)
    path.parent.mkdir(parents=True)
    whole = gzip.compress("\n".join([HEADER, *(row(flight=n) for n in range(500))]).encode())
    path.write_bytes(whole[:-20] if damage == "cut" else b"plain text")
    (delivery,) = ingest(empty_warehouse, connection)
    assert delivery.outcome == "rejected"
    assert "the file cannot be read" in str(delivery.reason)
    assert raw_count(connection) == 0


@pytest.mark.parametrize(
    "name", ["flights/2013/02/flights_2013-02-30.csv.gz", "readme.txt", "x/'; drop table t; --.csv"]
)
def test_a_file_that_matches_no_contract_is_recorded(
    empty_warehouse: Settings, connection: database.Connection, name: str
) -> None:
    write(Path(empty_warehouse.landing_url) / name, ["a,b"])
    (delivery,) = ingest(empty_warehouse, connection)
    assert (delivery.source, delivery.outcome) == ("unmatched", "rejected")
    assert "matches no contract" in str(delivery.reason)
    assert (Path(empty_warehouse.landing_url) / name).exists()


def test_a_name_that_is_not_text_is_shown_as_escapes(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    Path(empty_warehouse.landing_url, "a\udcff\n\x1b[31m.csv").write_text("a")
    (delivery,) = ingest(empty_warehouse, connection)
    assert delivery.file.uri == "a\\xff\\n\\x1b[31m.csv"


def test_the_same_bytes_are_never_loaded_twice(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    deliver(empty_warehouse, connection, [HEADER, row()])
    again = deliver(empty_warehouse, connection, [HEADER, row()])
    assert (again.outcome, again.duplicate_of) == ("duplicate", 1)
    other = landed(empty_warehouse, "flights", date(2013, 1, 2))
    write(other, [HEADER, row()])
    (renamed,) = ingest(empty_warehouse, connection)
    assert (renamed.outcome, renamed.duplicate_of) == ("duplicate", 1)
    assert raw_count(connection) == 1


def test_a_corrected_file_supersedes_the_earlier_one(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    first = deliver(empty_warehouse, connection, [HEADER, row()])
    second = deliver(empty_warehouse, connection, [HEADER, row(dep_delay=3)])
    assert (first.outcome, second.outcome) == ("loaded", "loaded")
    active = connection.execute(
        "select dep_delay from raw.flights"
        " where _delivery_id in (select delivery_id from ops.active_deliveries)"
    )
    assert active.fetchall() == [(3,)]
    assert raw_count(connection) == 2, "the earlier rows stay: a running build may read them"


@pytest.mark.parametrize("value", ["NaN", "inf", "-Infinity", "1e400", "0x10", "1_000", "1,5"])
def test_what_is_no_number_is_not_loaded_as_one(
    empty_warehouse: Settings, connection: database.Connection, value: str
) -> None:
    header = (
        "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,"
        "pressure,visib,time_hour"
    )
    hours = [
        f"EWR,2013,1,1,{hour},39.02,26.06,59.37,270,{{}},NA,0,1012,10,2013-01-01T{hour:02}:00:00Z"
        for hour in range(20)
    ]
    lines = [hours[0].format(f'"{value}"'), *(hour.format("10.4") for hour in hours[1:])]
    write(landed(empty_warehouse, "weather", DAY), [header, *lines])
    (delivery,) = ingest(empty_warehouse, connection)
    assert (delivery.rows_loaded, delivery.rows_quarantined) == (19, 1)
    held = connection.execute("select reasons from quarantine.weather").fetchall()
    assert held == [([f"wind_speed: '{value}' is not a number"],)]


def test_a_field_of_100_megabytes_rejects_its_file_and_spares_the_memory(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    content = "\n".join([HEADER, row(), row(flight=2, tailnum='"' + "x" * 100_000_000 + '"')])
    delivery = deliver(empty_warehouse, connection, content.encode() + b"\n")
    assert delivery.outcome == "rejected"
    assert "a record is longer than 16 MiB" in str(delivery.reason)
    assert raw_count(connection) == 0


def test_a_leap_day_and_the_turn_of_the_year_are_days_like_others(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    for day in (date(2012, 2, 29), date(2012, 12, 31), date(2013, 1, 1)):
        rows = [row(year=day.year, month=day.month, day=day.day)]
        write(landed(empty_warehouse, "flights", day), [HEADER, *rows])
    assert [d.outcome for d in ingest(empty_warehouse, connection)] == ["loaded"] * 3


def test_a_key_that_occurs_twice_is_kept_once(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    good = [row(flight=n) for n in range(1, 41)]
    delivery = deliver(empty_warehouse, connection, [HEADER, *good, row(flight=7, dep_delay=9)])
    assert (delivery.rows_loaded, delivery.rows_quarantined) == (40, 1)
    assert reasons(connection) == {
        42: ["carrier, flight, origin, sched_dep_time: the same key as an earlier row"]
    }


def test_an_empty_landing_place_says_what_to_do(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    with pytest.raises(UsageError, match="is empty") as error:
        ingest(empty_warehouse, connection)
    assert "make land" in error.value.todo


def test_what_is_still_being_written_under_a_hidden_name_is_left_alone(
    empty_warehouse: Settings, connection: database.Connection
) -> None:
    path = landed(empty_warehouse, "flights", DAY)
    path.parent.mkdir(parents=True)
    path.with_name("." + path.name).write_bytes(b"half a fi")
    with pytest.raises(UsageError, match="is empty"):
        ingest(empty_warehouse, connection)


cells = st.one_of(
    st.text(max_size=12), st.integers().map(str), st.floats().map(str), st.just("NA"),
    st.sampled_from(["2013", "EWR", "UA", "2013-01-01T10:00:00Z", "1e400", "\u0661", "\ufeff"]),
)  # fmt: skip


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    bodies=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.builds(lambda n: row(flight=n).encode(), st.integers(1, 9999)),
            st.lists(cells, min_size=19, max_size=19).map(
                lambda c: ",".join('"' + x.replace('"', '""') + '"' for x in c).encode(
                    "utf-8", "surrogatepass"
                )
            ),
            st.builds(
                lambda name, value: row(**{name: value}).encode("utf-8", "surrogatepass"),
                st.sampled_from(HEADER.split(",")),
                cells,
            ),
        ),
        max_size=30,
    )
)
def test_no_row_is_lost_whatever_lands(
    empty_warehouse: Settings, connection: database.Connection, bodies: list[bytes]
) -> None:
    content = b"\n".join([HEADER.encode(), *bodies]) + b"\n"
    write(landed(empty_warehouse, "flights", DAY), content)
    for delivery in ingest(empty_warehouse, connection):
        assert "PostgreSQL refuses" not in (delivery.reason or ""), "validation missed something"
        if delivery.outcome == "loaded":
            stored = connection.execute(
                "select (select count(*) from raw.flights where _delivery_id = delivery_id),"
                " (select count(*) from quarantine.flights q where q.delivery_id = d.delivery_id)"
                " from ops.deliveries d order by delivery_id desc limit 1"
            ).fetchone()
            assert stored == (delivery.rows_loaded, delivery.rows_quarantined)
    before = raw_count(connection)
    assert ingest(empty_warehouse, connection) == []
    assert raw_count(connection) == before
