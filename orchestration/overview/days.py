"""Charts over days: the calendar of a source or of marts, and rows per day.

Touches nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from orchestration.overview import punctuality, volumes
from orchestration.overview.drawing import NUMBERS, WIDTH, colours, draw, placed
from orchestration.overview.punctuality import Calendar
from orchestration.overview.volumes import Volume

STATES = {
    punctuality.IN_TIME: "var(--in-time)",
    punctuality.LATE: "var(--late)",
    punctuality.HELD: "var(--held)",
    punctuality.MISSING: "var(--missing)",
    punctuality.WAITING: "var(--waiting)",
}
_CELL = 14


def calendar(shown: Calendar) -> list[Markup]:
    """One drawing for each three months."""
    quarters: dict[int, list[dict[str, Any]]] = {}
    start = shown.days[0].day
    for each in shown.days:
        month = (each.day.year - start.year) * 12 + each.day.month - start.month
        quarter, column = divmod(month, 3)
        week = (each.day.day - 1 + each.day.replace(day=1).weekday()) // 7
        quarters.setdefault(quarter, []).append(
            {
                "x": (column * 6.5 + week + 0.5) * _CELL, "y": (each.day.weekday() + 0.5) * _CELL,
                "state": each.state, "month": f"{each.day:%b %Y}", "column": column,
                "said": f"{each.day:%a %Y-%m-%d}: {each.state}, {each.said}",
            }
        )  # fmt: skip
    return [_months(shown.subject, cells) for cells in quarters.values()]


def _months(subject: str, cells: list[dict[str, Any]]) -> Markup:
    labels = {cell["month"]: cell["column"] for cell in cells}
    spec: dict[str, Any] = {
        "width": 19 * _CELL,
        "height": 7 * _CELL,
        "layer": [
            {
                "data": {"values": cells},
                "mark": {"type": "rect", "width": _CELL - 2, "height": _CELL - 2},
                "encoding": placed() | {
                    "color": colours("state", STATES),
                    "description": {"field": "said"},
                },
            },
            {
                "data": {
                    "values": [
                        {"x": column * 6.5 * _CELL + 1, "y": -10, "text": month}
                        for month, column in labels.items()
                    ]
                },
                "mark": {"type": "text", "align": "left", "fontSize": 14, "aria": False},
                "encoding": placed() | {"text": {"field": "text"}},
            },
        ],
    }  # fmt: skip
    months = list(labels)
    return draw(spec, f"{subject}, {months[0]} to {months[-1]}: a square per day")


def volume(source: str, shown: Sequence[Volume]) -> Markup:
    """Rows per day over the band of what is usual for the weekday."""
    x = {
        "field": "day", "type": "temporal", "title": None, "scale": {"type": "utc"},
        "axis": {"format": "%b", "grid": False, "tickCount": {"interval": "month", "step": 2}},
    }  # fmt: skip
    y = {"type": "quantitative", "title": None, "axis": {"tickCount": 4} | NUMBERS}
    usual = {
        "transform": [{"filter": "datum.low != null"}],
        "mark": {"type": "area", "color": "var(--band)", "aria": False},
        "encoding": {"x": x, "y": {"field": "low"} | y, "y2": {"field": "high"}},
    }
    every = {
        "mark": {"type": "line", "color": "var(--sky)", "strokeWidth": 1.2, "aria": False},
        "encoding": {"x": x, "y": {"field": "rows"} | y},
    }
    odd = {
        "transform": [{"filter": "datum.odd"}],
        "mark": {"type": "point", "filled": True, "opacity": 1, "size": 34, "color": "var(--late)"},
        "encoding": {"x": x, "y": {"field": "rows"} | y, "description": {"field": "said"}},
    }
    spec = {
        "data": {"values": [_rows(each) for each in shown]},
        "width": WIDTH - 45,
        "height": 130,
        "layer": [usual, every, odd],
    }
    return draw(spec, f"Rows of {source} per day, over the band that is usual for the weekday")


def _rows(each: Volume) -> dict[str, Any]:
    return {
        "day": f"{each.day}",
        "rows": each.rows,
        "odd": each.is_odd,
        "low": each.usual and volumes.LOW * each.usual,
        "high": each.usual and volumes.HIGH * each.usual,
        "said": f"{each.day:%a %Y-%m-%d}: {each.rows:,} rows, usual {each.usual or 0:,.0f}",
    }
