"""Landed files: the tests' own sources, made here, and any file as a provider would put it."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path

DAY = date(2013, 3, 9)  # the night after it, New York's clocks go forward
TURN = date(2013, 3, 30)  # the last but one of a month
STATIONS = ("AAA", "BBB", "CCC")
HEADER = "station,year,month,day,temperature,rain,observer,read_at"
LIST = ("station,name,region", "AAA,Alpha,N", "BBB,Beta,S", "CCC,Gamma,")


def readings(day: date = DAY, hours: int = 24) -> list[str]:
    """A valid file's lines: the header, and for each station and hour a row."""
    return [HEADER, *(reading(day, hour, s) for hour in range(hours) for s in range(3))]


def reading(day: date = DAY, hour: int = 0, number: int = 0, **changes: object) -> str:
    """A valid row of `readings`, with some cells changed.

    Args:
        number: the station's.
    """
    at = datetime.combine(day, datetime.min.time()) + timedelta(hours=hour)
    cells: dict[str, object] = {
        "station": STATIONS[number], "year": day.year, "month": day.month, "day": day.day,
        "temperature": hour % 7 - number + 0.5, "rain": hour * number % 5, "observer": "ada",
        "read_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
    }  # fmt: skip
    return ",".join(str(cell) for cell in (cells | changes).values())


def corrected(day: date = DAY) -> list[str]:
    """Another file for a day: each rain differs, the last hour of the last station is missing."""
    at = HEADER.split(",").index("rain")
    rows = [row.split(",") for row in readings(day)[1:-1]]
    return [HEADER, *(",".join([*r[:at], "0.01", *r[at + 1 :]]) for r in rows)]


def rekeyed(day: date) -> list[str]:
    """Another file for a day with four hours: the first row has another hour, the next two miss."""
    return [HEADER, reading(day, 5), *readings(day, hours=4)[4:]]


def path_of(source: str, day: date) -> str:
    """Where the file of `readings`, or `stations`, lands, below the landing place."""
    if source == "stations":
        return f"stations/stations_{day}.csv"
    return f"{source}/{day:%Y/%m}/{source}_{day}.csv.gz"


def lines_of(path: Path) -> list[str]:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode().splitlines()


def write(path: Path, content: Iterable[str] | bytes) -> Path:
    """Write a (by its name gzipped) file in one go, as a provider would replace it; settled."""
    if not isinstance(content, bytes):
        content = "".join(f"{line}\n" for line in content).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    an_hour_ago = time.time() - 3600
    os.utime(aside, (an_hour_ago, an_hour_ago))
    aside.replace(path)
    return path
