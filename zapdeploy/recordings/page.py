"""A recording as a page: its facts, what is odd about it, and its picture."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from zapdeploy.recordings.facts import Facts

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
th { text-align: left; padding-right: 1.5rem; vertical-align: top; font-weight: 600 }
.warning { background: #fff3d6; border-left: 4px solid #d98e04; padding: .5rem 1rem }
img { width: 100% }
"""


def recording_page(facts: Facts, picture: bytes) -> str:
    """HTML that needs nothing from outside."""
    alternative = "Raster, mean, frame intervals and spectrum"
    return picture_page("Recording", facts.lines, facts.warnings, picture, alternative)


def picture_page(
    title: str,
    lines: Sequence[tuple[str, str]],
    warnings: Sequence[str],
    picture: bytes,
    alternative: str,
) -> str:
    """Lines, warnings and a PNG; `alternative`: the picture in words."""
    rows = "\n".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in lines
    )
    warned = "\n".join(f'<p class="warning">{escape(text)}</p>' for text in warnings)
    image = base64.b64encode(picture).decode("ascii")
    source = escape(lines[0][1])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{source}</title>
<style>{STYLE}</style></head>
<body><h1>{escape(title)}</h1>
{warned}
<table>{rows}</table>
<img alt="{escape(alternative)}" src="data:image/png;base64,{image}">
</body></html>
"""
