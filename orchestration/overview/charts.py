"""Charts over runs, publications, models and what is held back.

Touches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from orchestration.overview.drawing import NUMBERS, WIDTH, colours, draw, few, ordinal

VERDICTS = {
    "passed": "var(--in-time)", "warned": "var(--late)", "blocked": "var(--missing)",
}  # fmt: skip
CHANGES = {"inserted": "var(--in-time)", "updated": "var(--sky)", "deleted": "var(--missing)"}
ENDS = {
    "published": "var(--in-time)", "blocked": "var(--missing)", "other": "var(--waiting)",
}  # fmt: skip
_CELL = 14


def runs(shown: Sequence[Any]) -> Markup:
    """How long each run took, and how it ended."""
    values = [
        {
            "run": row.run_id, "seconds": row.seconds or 0,
            "end": row.state if row.state in ENDS else "other",
            "said": f"run {row.run_id}: {row.state}, {row.seconds or 0:,.1f} s",
        }
        for row in shown
        if row.kind != "rollback"
    ]  # fmt: skip
    spec = {
        "data": {"values": values},
        "width": WIDTH - 45,
        "height": 110,
        "mark": {"type": "bar", "cornerRadiusEnd": 1},
        "encoding": {
            "x": ordinal("run") | {"axis": few(values, "run", "run")},
            "y": {
                "field": "seconds", "type": "quantitative",
                "axis": {"title": "seconds", "tickCount": 4} | NUMBERS,
            },
            "color": colours("end", ENDS),
            "description": {"field": "said"},
        },
    }  # fmt: skip
    return draw(spec, "Seconds that each of the last runs took, by how it ended")


def gate(shown: Sequence[Any]) -> Markup:
    """A square per judged run and mart."""
    values = [
        {
            "run": row.run_id, "mart": row.mart or "other models and tests",
            "end": "blocked" if row.failures else "warned" if row.warnings else "passed",
            "said": f"run {row.run_id}, {row.mart or 'other models and tests'}: "
            f"{row.checks - row.failures - row.warnings} of {row.checks} checks met"
            + (f", not {row.reason}" if row.reason else ""),
        }
        for row in shown
    ]  # fmt: skip
    spec = {
        "data": {"values": values},
        "width": WIDTH - 175,
        "height": {"step": _CELL},
        "mark": {"type": "rect", "stroke": "var(--paper)", "strokeWidth": 2},
        "encoding": {
            "x": ordinal("run") | {"axis": few(values, "run", "run")},
            "y": {
                "field": "mart", "type": "nominal", "title": None,
                "axis": {"domain": False, "ticks": False, "labelLimit": 165},
            },
            "color": colours("end", VERDICTS),
            "description": {"field": "said"},
        },
    }  # fmt: skip
    return draw(spec, "What the gate said of each mart in each of the last judged runs")


def changes(shown: Sequence[Any]) -> Markup:
    """Rows that each publication inserted, updated and deleted; the scale is logarithmic."""
    sums: dict[tuple[int, str], int] = {}
    for row in shown:
        for kind in CHANGES:
            key = (row.publication_id, kind)
            sums[key] = sums.get(key, 0) + getattr(row, kind)
    values = [
        {
            "publication": number, "kind": kind, "rows": count,
            "said": f"publication {number}: {count:,} rows {kind}",
        }
        for (number, kind), count in sums.items()
        if count
    ]  # fmt: skip
    spec = {
        "data": {"values": values},
        "width": WIDTH - 45,
        "height": 180,
        "mark": {"type": "bar"},
        "encoding": {
            "x": ordinal("publication")
            | {"axis": few(values, "publication", "publication"), "scale": {"paddingInner": 0.25}},
            "xOffset": {"field": "kind", "sort": list(CHANGES), "scale": {"domain": [*CHANGES]}},
            "y": {
                "field": "rows", "type": "quantitative", "scale": {"type": "symlog"},
                "axis": {
                    "title": "rows",
                    "values": [10**n for n in range(12) if 10**n <= _most(values)],
                } | NUMBERS,
            },
            "color": colours("kind", CHANGES),
            "description": {"field": "said"},
        },
    }  # fmt: skip
    return draw(spec, "Rows that each of the last publications inserted, updated and deleted")


def models(shown: Sequence[Any]) -> Markup:
    """Seconds of each model's last build as a dot, its slowest as a line's end, its budget."""
    y = {
        "field": "model", "type": "nominal", "sort": None, "title": None,
        "axis": {"domain": False, "ticks": False, "grid": True, "labelLimit": 165},
    }  # fmt: skip
    x = {
        "type": "quantitative", "scale": {"type": "log"},
        "axis": {
            "title": "seconds", "grid": False, "values": [10**n for n in range(-2, 6)],
            "labelExpr": "format(datum.value, '~g')",
        },
    }  # fmt: skip
    slowest = {
        "mark": {"type": "rule", "color": "var(--sky)", "opacity": 0.5, "aria": False},
        "encoding": {"y": y, "x": {"field": "seconds"} | x, "x2": {"field": "most"}},
    }
    budget = {
        "transform": [{"filter": "datum.budget != null"}],
        "mark": {
            "type": "tick", "color": "var(--soft)", "thickness": 2, "size": 11, "aria": False
        },
        "encoding": {"y": y, "x": {"field": "budget"} | x},
    }  # fmt: skip
    last = {
        "mark": {"type": "point", "filled": True, "size": 48, "opacity": 1},
        "encoding": {
            "y": y, "x": {"field": "seconds"} | x, "description": {"field": "said"},
            "color": colours("end", {"within": "var(--sky)", "over": "var(--late)"}),
        },
    }  # fmt: skip
    spec = {
        "data": {"values": [_cost(row) for row in shown]},
        "width": WIDTH - 175,
        "height": {"step": 17},
        "layer": [slowest, budget, last],
    }
    return draw(spec, "Seconds of the slowest models' last builds, and their budgets")


def _cost(row: Any) -> dict[str, Any]:
    budget = row.budget_seconds
    return {
        "model": row.name,
        "seconds": max(row.seconds, 0.01),  # a logarithm needs one
        "most": max(row.most_seconds, 0.01),
        "budget": budget,
        "end": "over" if budget and row.seconds > budget else "within",
        "said": f"{row.name}: {row.seconds:,.2f} s in run {row.run_id}, at most"
        f" {row.most_seconds:,.2f} s in {row.builds} builds, budget {budget or 'none'}",
    }


def quarantine(shown: Sequence[Any]) -> Markup:
    """Rows in quarantine by reason."""
    values = [
        {
            "reason": f"{row.source}: {row.reason}", "rows": row.rows,
            "said": f"{row.rows:,} rows of {row.source}: {row.reason}",
        }
        for row in shown
    ]  # fmt: skip
    y = {"field": "reason", "type": "nominal", "sort": None, "axis": None}
    x = {"field": "rows", "type": "quantitative", "axis": None}
    bars = {
        "mark": {"type": "bar", "color": "var(--held)", "height": 9, "yOffset": 8},
        "encoding": {"y": y, "x": x, "description": {"field": "said"}},
    }
    reasons = {
        "mark": {"type": "text", "align": "left", "dy": -6, "limit": WIDTH - 20, "aria": False},
        "encoding": {"y": y, "x": {"value": 0}, "text": {"field": "reason"}},
    }
    counts = {
        "mark": {"type": "text", "align": "left", "dx": 5, "dy": 9, "aria": False},
        "encoding": {"y": y, "x": x, "text": {"field": "rows", "format": ","}},
    }
    spec = {
        "data": {"values": values},
        "width": WIDTH - 70,
        "height": {"step": 34},
        "layer": [bars, reasons, counts],
    }
    return draw(spec, "Rows in quarantine by reason")


def _most(values: Iterable[Mapping[str, Any]]) -> int:
    return max(int(value["rows"]) for value in values)
