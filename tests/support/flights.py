"""The real project's landed files: days of 2013 from the sample, and rows made by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestration import settings
from orchestration.ingesting import sample
from tests.support import shared

HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)
_CELLS = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"


def whole_year() -> Path:
    """A folder with all of the sample's files; made once per test run."""
    return shared.once("sample", _land)


def _land(folder: Path) -> None:
    sample.land(settings.load({"LANDING_URL": str(folder)}))


def copy(path: str, landing: Path) -> None:
    """Let one of the sample's files land."""
    target = landing / path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(whole_year() / path, target)


def row(**changes: object) -> str:
    """One valid flight of 1 January 2013, with some cells changed."""
    cells: dict[str, object] = dict(zip(HEADER.split(","), _CELLS.split(","), strict=True))
    return ",".join(str(cell) for cell in (cells | changes).values())
