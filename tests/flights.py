"""Landed files for tests: real days of 2013 from the sample, and small files made by hand."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from datetime import date, timedelta
from functools import cache
from pathlib import Path

from orchestration import settings
from orchestration.ingesting import sample
from orchestration.settings import Settings

HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)
_CELLS = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"


@cache
def whole_year() -> Path:
    """A folder with all of the sample's files; made once per test run."""
    import atexit
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="airworthy-sample-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sample.land(settings.load({"LANDING_URL": str(folder)}))
    return folder


def land_days(given: Settings, first: date, days: int = 1, *, planes: bool = True) -> None:
    """Let the sample's flights and weather of some days land, and the aircraft list."""
    for n in range(days):
        for source in ("flights", "weather"):
            path = relative_path(source, first + timedelta(n))
            if (whole_year() / path).exists():
                _copy(given, path)
    if planes:
        _copy(given, "planes/planes_2013-01-01.csv")


def relative_path(source: str, day: date) -> str:
    return f"{source}/{day:%Y/%m}/{source}_{day:%Y-%m-%d}.csv.gz"


def landed(given: Settings, source: str, day: date) -> Path:
    """Where a landed file of the sample lies."""
    return Path(given.landing_url) / relative_path(source, day)


def lines_of(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def write(path: Path, lines: list[str] | bytes) -> None:
    """Write a (gzipped, by name) file of lines in one go, as a provider would replace it."""
    content = lines if isinstance(lines, bytes) else "".join(f"{x}\n" for x in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    an_hour_ago = time.time() - 3600
    os.utime(aside, (an_hour_ago, an_hour_ago))  # settled
    aside.replace(path)


def row(**changes: object) -> str:
    """One valid flight of 1 January 2013, with some cells changed."""
    cells: dict[str, object] = dict(zip(HEADER.split(","), _CELLS.split(","), strict=True))
    return ",".join(str(cell) for cell in (cells | changes).values())


def _copy(given: Settings, path: str) -> None:
    target = Path(given.landing_url) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(whole_year() / path, target)
