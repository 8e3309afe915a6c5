"""Parts that several figures share."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10
from textwrap import wrap
from typing import Any

_NAME_WIDTH = 22  # characters; longer names would leave no room for the figure on a phone
_LINE_PX, _BAR_PX = 15, 14
LEGEND_BELOW = {
    "orientation": "h",
    "traceorder": "normal",
    "xref": "container",
    "x": 0,
    "xanchor": "left",
    "yref": "container",
    "y": 0,
    "yanchor": "bottom",
}


def label(text: str) -> str:
    """Text for inside a figure, where plotly would read tags as its own markup."""
    return escape(text, quote=False)


def wrapped(text: str) -> str:
    """A name in lines short enough for a phone."""
    return "<br>".join(label(line) for line in wrap(text, _NAME_WIDTH)) or " "


def names_axis(names: Sequence[str]) -> dict[str, Any]:
    """A vertical axis of names, the first on top, every one shown."""
    last_to_first = [wrapped(name) for name in reversed(names)]
    return {"categoryorder": "array", "categoryarray": last_to_first, "dtick": 1}


def names_height_px(names: Sequence[str]) -> int:
    """What the names take, in pixels."""
    return sum(_BAR_PX + _LINE_PX * (1 + wrapped(name).count("<br>")) for name in names)


def log_axis(title: str, values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis with SI prefixes; `values`: all that must be seen, and are above 0."""
    values = [value for value in values if value > 0] or [1.0]
    low, high = log10(min(values)), log10(max(values))
    room = 0.06 * (high - low) + 0.1
    return {
        "title": {"text": title},
        "type": "log",
        "range": [low - room, high + room],
        "dtick": 1 if high - low > 2 else "D2",
        "exponentformat": "SI",
        "minexponent": 1,
        "tickangle": 0,
    }
