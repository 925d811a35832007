"""More years of the demo's data: 2013 once more, 365 days later each time, to the same bytes.

Local clocks stay as they were; instants follow from them by the time zone's rules of the new date.
Left out are flights whose clocks would contradict their delays: after noon on the eve of a clock
change, then or now; and, on the few days that had summer time then and not now or the other way
round, those to places without summer time.
"""

from __future__ import annotations

import gzip
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import polars as pl

from orchestration.ingesting import sample
from orchestration.settings import Settings

_ZONE = "America/New_York"
_HOUR = "%Y-%m-%dT%H:%M:%SZ"
_DAYS = 365
_NO_SUMMER_TIME = ("BQN", "HNL", "PHX", "PSE", "SJU", "STT")


def land(given: Settings, years: int) -> None:
    """Let 2013 and `years` - 1 further years land, a file per source and day."""
    sample.land(given)
    landing = Path(given.landing_url)
    rows = {source: _read(landing / source / "2013") for source in ("flights", "weather")}
    for year in range(1, years):
        later = timedelta(_DAYS * year)
        _write(landing, "flights", _shift_clocks(rows["flights"], later))
        _write(landing, "weather", _shift_instants(rows["weather"], later))


def correct(landing: Path, day: date) -> None:
    """Let a corrected file of the day's flights land: without its last one."""
    path = landing / f"flights/{day:%Y/%m}/flights_{day}.csv.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    sample.write(path, b"".join(lines[:-1]))


def _read(folder: Path) -> pl.DataFrame:
    files = sorted(folder.rglob("*.csv.gz"))
    return pl.concat([pl.read_csv(path, infer_schema=False) for path in files])


def _shift_clocks(rows: pl.DataFrame, later: timedelta) -> pl.DataFrame:
    """Flights: the date moves, clocks stay."""
    day = pl.date(pl.col("year").cast(int), pl.col("month").cast(int), pl.col("day").cast(int))
    clock = pl.duration(hours=pl.col("hour").cast(int))
    instant = (
        (pl.col("date").cast(pl.Datetime) + clock)
        .dt.replace_time_zone(_ZONE, ambiguous="earliest")
        .dt.convert_time_zone("UTC")
    )
    moved = rows.with_columns(date=day + later).with_columns(time_hour=instant.dt.to_string(_HOUR))
    then, now = _noon(day), _noon(pl.col("date"))
    is_after_noon = pl.col("hour").cast(int) >= 12
    contradicts = is_after_noon & (_is_eve(then) | _is_eve(now))
    contradicts |= pl.col("dest").is_in(_NO_SUMMER_TIME) & (
        then.dt.dst_offset() != now.dt.dst_offset()
    )
    return _dated(moved.filter(~contradicts))


def _noon(day: pl.Expr) -> pl.Expr:
    return (day.cast(pl.Datetime) + timedelta(hours=12)).dt.replace_time_zone(_ZONE)


def _is_eve(noon: pl.Expr) -> pl.Expr:
    """The clocks change in the night that follows."""
    return noon.dt.dst_offset() != noon.dt.offset_by("1d").dt.dst_offset()


def _shift_instants(rows: pl.DataFrame, later: timedelta) -> pl.DataFrame:
    """Weather: the instant moves by whole days, the local date and hour follow."""
    instant = pl.col("time_hour").str.to_datetime(_HOUR, time_zone="UTC") + later
    local = instant.dt.convert_time_zone(_ZONE)
    return _dated(
        rows.with_columns(
            date=local.dt.date(),
            hour=local.dt.hour().cast(str),
            time_hour=instant.dt.to_string(_HOUR),
        )
    )


def _dated(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        year=pl.col("date").dt.year().cast(str),
        month=pl.col("date").dt.month().cast(str),
        day=pl.col("date").dt.day().cast(str),
    )


def _write(landing: Path, source: str, rows: pl.DataFrame) -> None:
    for (day,), part in rows.partition_by("date", as_dict=True, maintain_order=True).items():
        path = landing / source / f"{day:%Y/%m}" / f"{source}_{day:%Y-%m-%d}.csv.gz"
        if not path.exists():
            text = BytesIO()
            part.drop("date").write_csv(text)
            sample.write(path, text.getvalue())
