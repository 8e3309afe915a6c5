"""A recording as a page: its facts, what is odd about it, and its picture."""

from __future__ import annotations

import base64
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
    rows = "\n".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.lines
    )
    warnings = "\n".join(f'<p class="warning">{escape(text)}</p>' for text in facts.warnings)
    image = base64.b64encode(picture).decode("ascii")
    source = escape(facts.lines[0][1])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{source}</title>
<style>{STYLE}</style></head>
<body><h1>Recording</h1>
{warnings}
<table>{rows}</table>
<img alt="Raster, mean, frame intervals and spectrum" src="data:image/png;base64,{image}">
</body></html>
"""
