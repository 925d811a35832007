"""Which partitions of the real project's models late data rebuilds, and what odd data becomes."""

from __future__ import annotations

import shutil
from datetime import date, timedelta

from tests.pipeline.conftest import Another
from tests.pipeline.test_changed_code import built
from tests.support import flights
from tests.support.checkout import Checkout
from tests.support.files import DAY, lines_of, write
from tests.support.flights import row

CUT, WITHDRAWN, NEW = (DAY + timedelta(n) for n in (1, 2, 3))
ODD = date(2013, 1, 1)
THE_DAY = (
    "stg_weather__observations", "fct_weather_observations", "fct_flights",
    "agg_departures_hourly", "agg_airlines_daily",
)  # fmt: skip


def test_late_corrected_withdrawn_and_odd_data_rebuild_exactly_what_they_touch(
    published_flights: Checkout, another: Another
) -> None:
    made = published_flights
    made.land_flights(NEW)
    made.path("weather", NEW).unlink()
    header, *rows = lines_of(made.path("flights", CUT))
    write(made.path("flights", CUT), [header, *rows[100:]])
    number = made.value("select delivery_id from ops.active_deliveries where source = 'flights'"
                        " and slice_date = %s", WITHDRAWN)  # fmt: skip
    made.call("withdraw", "--delivery", str(number), "--reason", "a test")
    odd = [
        row(flight=1, tailnum="NOBODY"),
        row(flight=2, tailnum="NA"),
        row(flight=3, dest="EEN"),  # the airports list has no time zone for Keene
        row(flight=4, dep_time="NA", dep_delay="NA", arr_time="NA", arr_delay="NA", air_time="NA"),
    ]
    write(made.path("flights", ODD), [flights.HEADER, *odd])
    made.call("run")
    require_odd_rows(made)
    hours = (
        "select count(*) from published.agg_departures_hourly where visibility_miles is null"
        " and flight_date = %s"
    )
    assert made.value(hours, NEW) > 40, "a date without weather keeps its rows"
    # The planner knows how much was loaded.
    size = made.value("select reltuples::int from pg_class where oid = 'raw.flights'::regclass")
    assert size == made.value("select count(*) from raw.flights")

    made.land_flights(NEW)
    made.call("run")
    require_touched(made)
    require_the_same_from_scratch(made, another("flights"))


def require_odd_rows(made: Checkout) -> None:
    columns = "flight_number, aircraft_id, arrived_at is null, departure_observation_id is null"
    rows = f"select {columns} from published.fct_flights where flight_date = '{ODD}' order by 1"
    assert made.query(rows) == [
        (1, "NOBODY", False, True), (2, None, False, True),
        (3, "N14228", True, True), (4, "N14228", True, True),
    ]  # fmt: skip
    loaded = made.value("select sum(rows_loaded) from ops.deliveries join ops.active_deliveries"
                        " using (delivery_id) where deliveries.source = 'flights'")  # fmt: skip
    assert made.value("select count(*) from published.fct_flights") == loaded
    window = f"from published.agg_airlines_rolling_28_days where flight_date = '{ODD}'"
    assert made.query(f"select flight_count, on_time_rate {window}") == [(0, None)]


def require_touched(made: Checkout) -> None:
    """The newest run rebuilt what one date of weather reaches: its day, its month, no window."""
    changed = made.changes()
    assert changed["fct_weather_observations"] == (72, 0, 0)
    flown = made.value("select count(*) from published.fct_flights where flight_date = %s", NEW)
    assert changed["fct_flights"] == (0, flown, 0)
    assert made.query(
        "select inserted, updated, deleted from ops.publication_changes"
        " where mart = 'agg_airlines_daily' and publication_id = 3"
    ) == [(0, 0, 0)], "it holds no weather"  # fmt: skip
    partitions = made.query(
        "select model, array_agg(partition_date order by partition_date) from ops.run_partitions"
        " where run_id = 3 group by model"
    )
    assert dict(partitions) == {
        **{model: [NEW] for model in THE_DAY},
        "agg_routes_monthly": [NEW.replace(day=1)],
        "agg_airlines_rolling_28_days": [NEW + timedelta(n) for n in range(29)],
    }
    assert built(made) == {
        "fct_weather_observations", "fct_flights", "agg_departures_hourly", "agg_airlines_daily",
        "agg_routes_monthly", "agg_airlines_rolling_28_days",
    }  # fmt: skip


def require_the_same_from_scratch(made: Checkout, scratch: Checkout) -> None:
    """The marts are those of one run over the files that count in the end."""
    made.path("flights", WITHDRAWN).unlink()
    shutil.copytree(made.landing, scratch.landing, dirs_exist_ok=True)
    scratch.call("run")
    assert scratch.digests() == made.digests()
