"""How a chart becomes part of the page: Vega-Lite, drawn as SVG by vl-convert.

Colours are variables of the page's style sheet, so one drawing serves light and dark. Each mark
that has something to say has it as its title; each drawing has a label. Touches nothing.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert
from markupsafe import Markup

WIDTH = 400
# On an axis: 500, 1k, 1.5k.
NUMBERS = {"labelExpr": "format(datum.value, '~s')"}
_CONFIG = {
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--soft)", "titleColor": "var(--soft)", "tickColor": "var(--line)",
        "domainColor": "var(--line)", "gridColor": "var(--line)", "labelFontSize": 11,
        "titleFontSize": 11, "titleFontWeight": "normal", "labelLimit": 190,
    },
    "text": {"color": "var(--soft)", "fontSize": 11},
}  # fmt: skip
_MARK = re.compile(
    r'<path aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="[^"]*" ([^>]*)/>'
)
_SPOKEN = re.compile(r' (?:role|aria-[a-z]+|class)="[^"]*"')
_NUMBER = re.compile(r"(\d+\.\d\d)\d+")


def draw(spec: Mapping[str, Any], label: str) -> Markup:
    """The chart as an `svg` element that takes the width that the page gives it.

    Args:
        label: what it shows, for those who do not see it.
    """
    whole = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json", "background": None,
        "padding": 2, "config": _CONFIG, **spec,
    }  # fmt: skip
    svg = str(vl_convert.vegalite_to_svg(json.dumps(whole)))
    svg = _MARK.sub(r"<path \2><title>\1</title></path>", svg)
    opening, rest = svg.split(">", 1)
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', opening)
    assert size
    width, height = (round(float(number)) for number in size.groups())
    body = _NUMBER.sub(r"\1", _SPOKEN.sub("", rest))
    return Markup(  # noqa: S704 - vl-convert escapes what it draws
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html.escape(label)}"'
        f' viewBox="0 0 {width} {height}" style="max-width:{width * 1.35:.0f}px">{body}'
    )


def placed() -> dict[str, Any]:
    """Fields x and y are pixels."""
    return {
        name: {"field": name, "type": "quantitative", "scale": None, "axis": None} for name in "xy"
    }


def colours(field: str, palette: Mapping[str, str]) -> dict[str, Any]:
    scale = {"domain": list(palette), "range": list(palette.values())}
    return {"field": field, "type": "nominal", "legend": None, "scale": scale}


def ordinal(field: str) -> dict[str, Any]:
    return {"field": field, "type": "ordinal"}


def few(values: Sequence[Mapping[str, Any]], field: str, title: str) -> dict[str, Any]:
    """An axis that names every fifth of what it shows, and the last."""
    names = sorted({value[field] for value in values})
    return {"title": title, "labelAngle": 0, "values": names[::-5], "ticks": False}
