"""A breaking change of a mart: both versions are published side by side until the old one goes."""

from __future__ import annotations

from datetime import timedelta

from tests.support.checkout import Checkout
from tests.support.files import DAY

_YML = """
version: 2

models:
  - name: dim_stations
    description: One row per station.
    latest_version: 2
    columns:
      - {name: station_id, data_type: text, constraints: [{type: primary_key}]}
      - {name: station_name, data_type: text}
      - {name: region_name, data_type: text}
    versions:
      - v: 1
        defined_in: dim_stations
        deprecation_date: 2099-12-31
        config: {alias: dim_stations}
      - v: 2
        columns:
          - {include: all, exclude: [station_name]}
          - {name: name, data_type: text}
"""


def _renamed(model: str) -> str:
    return f"select station_id, region_name, station_name as name from ({model}) as stations"


def test_two_versions_are_published_side_by_side_until_the_old_one_leaves(
    published: Checkout,
) -> None:
    marts = published.project / "models/marts"
    old, yml = marts / "dim_stations.sql", marts / "dim_stations.yml"
    model, described = old.read_text(), yml.read_text()
    before = published.digests()
    old.write_text(_renamed(model))
    yml.write_text(described.replace("station_name", "name"))
    assert "station_name dropped or retyped" in published.call("run", code=2)
    assert published.digests() == before

    old.write_text(model)
    yml.write_text(_YML)
    (marts / "dim_stations_v2.sql").write_text(_renamed(model))
    suite = published.project / "expectations/dim_stations.json"
    (suite.parent / "dim_stations_v2.json").write_text(suite.read_text())
    published.call("run")
    assert published.value(
        "select count(*) from published.dim_stations as one"
        " join published.dim_stations_v2 as two using (station_id)"
        " where one.station_name = two.name"
    ) == 3  # fmt: skip

    # The removal date has come: the first version leaves the project, and with it its readers.
    old.unlink()
    suite.unlink()
    head, _, tail = _YML.partition("      - v: 1")
    yml.write_text(head + "      - v: 2" + tail.partition("      - v: 2")[2])
    published.land(DAY + timedelta(2))
    published.call("run")
    there = "select to_regclass('published.dim_stations') is not null"
    published.call("gc", RETAIN_DAYS="0")
    assert published.value(there), "a retained publication shows it"
    published.execute("create view public.mine as select * from published.dim_stations")
    said = published.call("gc", code=1, RETAIN_PUBLICATIONS="1", RETAIN_DAYS="0")
    assert "dim_stations left the project, but is still in use" in said
    published.execute("drop view public.mine")
    said = published.call("gc", RETAIN_PUBLICATIONS="1", RETAIN_DAYS="0")
    assert "marts that left the project: dim_stations" in said
    assert not published.value(there)
    assert published.value("select count(*) from published.dim_stations_v2") == 3
