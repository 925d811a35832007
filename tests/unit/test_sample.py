from __future__ import annotations

import gzip
from pathlib import Path

from orchestration import settings
from orchestration.ingesting import sample
from tests.support.files import lines_of
from tests.support.flights import whole_year


def test_the_year_is_whole() -> None:
    year = whole_year()
    files = [p for p in year.rglob("*") if p.is_file()]
    assert len(files) == 365 + 364 + 1
    flights = sum(len(lines_of(p)) - 1 for p in (year / "flights").rglob("*.gz"))
    weather = sum(len(lines_of(p)) - 1 for p in (year / "weather").rglob("*.gz"))
    assert (flights, weather) == (336_776, 26_115)


def test_it_lands_the_same_bytes_each_time_and_leaves_what_is_there(tmp_path: Path) -> None:
    given = settings.load({"LANDING_URL": str(tmp_path)})
    kept = tmp_path / "flights/2013/01/flights_2013-01-01.csv.gz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(gzip.compress(b"a correction"))
    assert sample.land(given) == 729
    assert sample.land(given) == 0
    assert gzip.decompress(kept.read_bytes()) == b"a correction"
    kept.unlink()
    sample.land(given)
    for path in whole_year().rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(whole_year())).read_bytes() == path.read_bytes()
