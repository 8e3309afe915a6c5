"""Blocks as one HTML file that needs nothing else: plotly.js and the style are inside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from importlib import resources
from typing import Any

from zapdeploy.benchmarks.report.blocks import Chart, CoreMap, Section
from zapdeploy.benchmarks.report.data import ReportData, model_name
from zapdeploy.benchmarks.report.sections import all_sections
from zapdeploy.errors import DataError, UsageError

# "</script>" or "<!--" in a file's text must not end the script that holds it.
_UNSAFE_IN_SCRIPTS = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def report_html(data: ReportData, today: date | None = None) -> str:
    """The page, dated today. Raises UsageError without plotly or Jinja2."""
    names = [model_name(one.model) for one in data.comparison.models]
    made_by = data.result.common["versions"].get("zapdeploy", "of an unknown version")
    return page_html(f"zapdeploy report: {', '.join(names)}", made_by, all_sections(data), today)


def page_html(
    title: str,
    made_by: str,
    sections: Sequence[Section],
    today: date | None = None,
    *,
    brushed: bool = False,
) -> str:
    """Sections as a page. made_by: the version. brushed: whether some chart is of parallel
    coordinates, for which plotly compiles code. Raises UsageError without plotly or Jinja2.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise UsageError(
            "report must have plotly and Jinja2; pip install 'zapdeploy[report]'"
        ) from None
    page = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(_file("page.html"))
    return page.render(
        title=title,
        version=made_by,
        date=(today or datetime.now(UTC).date()).isoformat(),
        sections=sections,
        figures=_script_json(_figures(sections)),
        style=_file("style.css"),
        plotly_js=get_plotlyjs(),
        charts_js=_file("charts.js"),
        brushed=brushed,
    )


def _figures(sections: Sequence[Section]) -> dict[str, Any]:
    """What the script draws, by the id of its place in the page."""
    blocks = [block for section in sections for block in section.blocks]
    return {
        "charts": {block.id: block.figure for block in blocks if isinstance(block, Chart)},
        "maps": {block.id: block.networks for block in blocks if isinstance(block, CoreMap)},
    }


def _script_json(document: Any) -> str:
    try:
        text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    except ValueError:
        raise DataError(
            "results must be numbers that can be drawn, not so large that their products are "
            "infinite; run the benchmark again in a new folder"
        ) from None
    for character, code in _UNSAFE_IN_SCRIPTS.items():
        text = text.replace(character, code)
    return text


def _file(name: str) -> str:
    return (resources.files("zapdeploy.benchmarks.report") / name).read_text(encoding="utf-8")
