"""Each row of a delivery: loaded as meant, or quarantined with its text and all its reasons."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

from tests.ingest.given import count, held, outcomes, rows
from tests.support import files
from tests.support.checkout import Checkout
from tests.support.files import DAY, HEADER, reading
from tests.support.flights import HEADER as FLIGHTS
from tests.support.flights import row as flight

GOOD = [reading(hour=hour, number=number) for hour in range(80) for number in range(3)]


def changed(**cells: object) -> str:
    """A valid row with some cells changed, whichever."""
    valid = dict(zip(HEADER.split(","), reading().split(","), strict=True))
    return ",".join(str(cell) for cell in (valid | cells).values())


# What breaks a rule though its numbers can be read, and what a row looks like that does.
OF_NUMBERS = {
    changed(station="NA"): "station: missing, but required",
    changed(station="DDD"): "station: 'DDD' is not one of AAA, BBB, CCC",
    changed(observer="a<b"): "observer: 'a<b' does not match",
    changed(observer="N" * 11): "observer: 'NNNNNNNNNNN' is longer than 10 characters",
    changed(month=13): "month: '13' is above the maximum 12",
    changed(rain=-1): "rain: '-1' is below the minimum 0",
    changed(day=10): "day: '10' is not 9, as the file's date says",
    changed(read_at="yesterday"): "read_at: 'yesterday' is not a point in time",
    changed(observer="'; drop table raw.readings; --<"):
        "observer: ''; drop table raw.readings; --<' does",
}  # fmt: skip
OF_TEXTS = {
    changed(day="abc"): "day: 'abc' is not a whole number",
    changed(year="9" * 20): "year: '99999999999999999999' is not a whole",
    changed(month="NaN"): "month: 'NaN' is not a whole number",
    changed(station=""): "station: missing, but required",
}
# PostgreSQL or Python would read some of them as numbers.
NO_NUMBERS = ("NaN", "inf", "-Infinity", "1e400", "0x10", "1_000", "1,5")


def test_a_delivery_is_loaded_typed_and_traceable(empty: Checkout) -> None:
    path = empty.deliver([HEADER, reading(), reading(hour=1, rain="NA")])
    empty.call("ingest")
    assert outcomes(empty) == [("loaded", 2, 0)]
    columns = "station, year, temperature::text, rain::float, read_at::text, _line, _slice_date"
    assert rows(empty, columns, "readings") == [
        ("AAA", 2013, "0.5", 0.0, "2013-03-09 00:00:00+00", 2, DAY),
        ("AAA", 2013, "1.5", None, "2013-03-09 01:00:00+00", 3, DAY),
    ]
    found = "select distinct uri, sha256, contract_version from raw.readings join ops.deliveries"
    assert empty.query(f"{found} on delivery_id = _delivery_id") == [
        (files.path_of("readings", DAY), sha256(path.read_bytes()).hexdigest(), "1.0.0")
    ]


def test_a_row_that_breaks_a_rule_is_quarantined_with_its_text_and_reason(
    empty: Checkout,
) -> None:
    """However the rows are cut: with numbers parsed on the way, as texts, or one by one."""
    quoted = reading(hour=90, observer='"ada"')
    none: list[str] = []
    ways = ((OF_NUMBERS, none), (OF_NUMBERS | OF_TEXTS, none), (OF_NUMBERS | OF_TEXTS, [quoted]))
    for delivery, (bad, more) in enumerate(ways, 1):
        empty.deliver([HEADER, *GOOD, *bad, *more])
        empty.call("ingest")
        assert outcomes(empty)[-1] == ("loaded", len(GOOD + more), len(bad))
        found = held(empty, "readings", delivery)
        first = 2 + len(GOOD)
        assert [(line, text) for line, text, _ in found] == list(enumerate(bad, first))
        for (_, text, reasons), expected in zip(found, bad.values(), strict=True):
            assert any(reason.startswith(expected) for reason in reasons), (text, reasons)


def test_a_row_gets_all_its_reasons(empty: Checkout) -> None:
    bad = reading(station="NA", month=0, rain=-1, observer="<" * 11)
    empty.deliver([HEADER, *GOOD, bad])
    empty.call("ingest")
    ((line, _, reasons),) = held(empty, "readings")
    assert line == len(GOOD) + 2
    assert [text.split(":")[0] for text in reasons] == [
        "station", "month", "rain", "observer", "observer", "month",
    ]  # fmt: skip


def test_what_is_no_number_is_not_loaded_as_one(empty: Checkout) -> None:
    """In quotes; and without, those that could be parsed as numbers apart from all others."""
    quoted = [f'"{value}"' for value in NO_NUMBERS]
    for delivery, cells in enumerate((quoted, NO_NUMBERS[:4], NO_NUMBERS[4:6]), 1):
        empty.deliver([HEADER, *GOOD, *(reading(temperature=cell) for cell in cells)])
        empty.call("ingest")
        assert outcomes(empty)[-1] == ("loaded", len(GOOD), len(cells))
        values = [cell.strip('"') for cell in cells]
        assert [reasons for _, _, reasons in held(empty, "readings", delivery)] == [
            [f"temperature: '{value}' is not a number"] for value in values
        ]


def test_a_damaged_line_spoils_no_other(empty: Checkout) -> None:
    row = reading().encode()
    damaged = {
        row + b",extra": "has 9 fields instead of 8",
        b"AAA,2013,3": "has 3 fields instead of 8",
        b"": "has 0 fields instead of 8",
        row[:20]: "has 7 fields instead of 8",
        reading(observer="N\0").encode(): "holds a NUL character",
        row.replace(b"ada", b"N\xff\xfe"): "is not UTF-8 text",
        row.replace(b"ada", b'"N"1'): "cannot be cut into fields",
    }
    for n, line in enumerate(damaged):
        day = DAY + timedelta(n)
        good = [row.encode() for row in files.readings(day, hours=10)]
        empty.deliver(b"\n".join([*good[:16], line, *good[16:]]) + b"\n", day)
        if n >= len(damaged) - 2:
            empty.call("ingest")  # a file with quotes is not read together with others
    assert outcomes(empty) == [("loaded", 30, 1)] * len(damaged)
    for delivery, expected in enumerate(damaged.values(), 1):
        ((number, _, (found,)),) = held(empty, "readings", delivery)
        assert (number, found[: len(expected)]) == (17, expected)
    lines = "select array_agg(_line order by _line) from raw.readings group by _delivery_id"
    assert empty.query(lines) == [([*range(2, 17), *range(18, 33)],)] * len(damaged)


def test_quotes_newlines_crlf_bom_and_a_missing_last_newline_are_read_as_meant(
    empty: Checkout,
) -> None:
    observers = ('"N,1"', '"N""2"', '"N\n3"', "=cmd()", "ada")
    lines = [reading(hour=hour, observer=name) for hour, name in enumerate(observers)]
    empty.deliver(b"\xef\xbb\xbf" + "\r\n".join([HEADER, *lines]).encode())
    empty.call("ingest")
    assert outcomes(empty) == [("loaded", 5, 0)], held(empty, "readings")
    assert rows(empty, "observer, _line", "readings") == [
        ("N,1", 2), ('N"2', 3), ("N\n3", 4), ("=cmd()", 6), ("ada", 7),
    ]  # fmt: skip


def test_columns_are_mapped_by_name(empty: Checkout) -> None:
    def turned(line: str) -> str:
        return ",".join(reversed(line.split(",")))

    quoted = turned(reading(hour=1)).replace("ada", '"ada"')
    for lines in ([turned(reading())], [turned(reading()), quoted]):
        empty.deliver([turned(HEADER), *lines])
        empty.call("ingest")
    expected = [("AAA", 2013, "ada", "0.5"), ("AAA", 2013, "ada", "1.5")]
    found = rows(empty, "station, year, observer, temperature::text", "readings")
    assert found == [expected[0], *expected]


def test_a_key_that_occurs_twice_is_kept_once(empty: Checkout) -> None:
    empty.deliver([HEADER, *GOOD, reading(hour=7, number=1, rain=9)])
    empty.call("ingest")
    assert outcomes(empty) == [("loaded", len(GOOD), 1)]
    assert [(line, reasons) for line, _, reasons in held(empty, "readings")] == [
        (len(GOOD) + 2, ["station, read_at: the same key as an earlier row"])
    ]


def test_the_contracts_of_the_real_project_hold_back_what_they_say(flights: Checkout) -> None:
    bad = {
        flight(dep_time="abc"): "dep_time: 'abc' is not a whole number",
        flight(distance="9" * 20): "distance: '99999999999999999999' is not a whole",
        flight(distance="NaN"): "distance: 'NaN' is not a whole number",
        flight(carrier="NA"): "carrier: missing, but required",
        flight(carrier=""): "carrier: missing, but required",
        flight(origin="BOS"): "origin: 'BOS' is not one of EWR, JFK, LGA",
        flight(dest="Boston"): "dest: 'Boston' does not match",
        flight(month=13): "month: '13' is above the maximum 12",
        flight(day=2): "day: '2' is not 1, as the file's date says",
        flight(time_hour="yesterday"): "time_hour: 'yesterday' is not a point in time",
        flight(tailnum="N" * 11): "tailnum: 'NNNNNNNNNNN' is longer than 10 characters",
        flight(dest="'; drop table raw.flights; --"):
            "dest: ''; drop table raw.flights; --' does",
        flight(flight=7, dep_delay=9):
            "carrier, flight, origin, sched_dep_time: the same key as an earlier row",
    }  # fmt: skip
    good = [flight(flight=n) for n in range(1, 301)]
    path = flights.path("flights", DAY.replace(month=1, day=1))
    files.write(path, [FLIGHTS, *good, *bad])
    flights.call("ingest")
    assert outcomes(flights) == [("loaded", 300, len(bad))]
    found = {text: reasons for _, text, reasons in held(flights, "flights")}
    for text, expected in bad.items():
        assert any(reason.startswith(expected) for reason in found[text]), (text, found[text])
    _require_that_bad_weather_is_held_back(flights)
    files.write(path, [FLIGHTS, flight(), flight(flight=2, month=13)])
    assert "1 of 2 rows break the contract, more than 5%" in flights.call("ingest", code=4)
    assert count(flights, "raw.flights") == 300


def _require_that_bad_weather_is_held_back(made: Checkout) -> None:
    header = (
        "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,"
        "pressure,visib,time_hour"
    )
    hour = "EWR,2013,1,1,{0},39,26,59,270,{1},NA,0,1012,10,2013-01-01T{0:02}:00:00Z"
    lines = [hour.format(0, '"NaN"'), *(hour.format(n, "10.4") for n in range(1, 24))]
    files.write(made.path("weather", DAY.replace(month=1, day=1)), [header, *lines])
    made.call("ingest")
    assert outcomes(made)[-1] == ("loaded", 23, 1)
    ((_, _, reasons),) = held(made, "weather", 2)
    assert reasons == ["wind_speed: 'NaN' is not a number"]
