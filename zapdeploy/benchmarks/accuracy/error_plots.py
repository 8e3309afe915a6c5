"""Errors as a page: over the horizon with intervals, and which neurons a forecast helps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zapdeploy.benchmarks.accuracy.evaluation import Evaluated, Verdict
from zapdeploy.errors import UsageError
from zapdeploy.forecasters.intervals import mae_interval
from zapdeploy.recordings.recording import Recording

BINS = 60


def error_page(
    found: Sequence[Evaluated],
    beside: Sequence[Evaluated],
    judged: Sequence[Verdict],
    recording: Recording,
) -> str:
    """A page that needs nothing from outside."""
    try:
        from plotly.subplots import make_subplots
    except ModuleNotFoundError as error:
        raise UsageError(
            "plotly must be installed to draw, not missing; run: pip install plotly"
        ) from error
    label = "synthetic data" if recording.is_synthetic else recording.source
    conditions = len(found[0].scores.trained)
    titles = ["Error over the horizon, with 95 % intervals"]
    titles += ["Neurons: error less than the naive mean's by"] if judged else []
    figure = make_subplots(rows=len(titles), cols=1, subplot_titles=titles, vertical_spacing=0.16)
    for index, entry in enumerate([*found, *beside]):
        _curve(figure, entry, index, dashed=index >= len(found))
    for verdict in judged:
        figure.add_histogram(
            x=100 * verdict.neurons.skill,
            name=f"{verdict.model} ({verdict.runner})",
            nbinsx=BINS,
            opacity=0.6,
            row=2,
            col=1,
        )
    rate = recording.frame_rate_hz
    frame = "frames" if rate is None else f"frames of {1 / rate:.4g} s"
    figure.update_xaxes(title=f"step h ({frame})", row=1, col=1)
    figure.update_yaxes(title=f"mean absolute error ({recording.unit})", row=1, col=1)
    if judged:
        figure.update_xaxes(title="per cent of the naive mean's error", row=2, col=1)
        figure.update_yaxes(title="neurons", row=2, col=1)
    figure.update_layout(
        title=f"Forecast error ({label}, mean over {conditions} condition{'s' * (conditions > 1)})",
        template="plotly_white",
        barmode="overlay",
        height=450 * len(titles),
    )
    page: str = figure.to_html(include_plotlyjs=True, full_html=True)
    return page


def _curve(figure: Any, entry: Evaluated, index: int, *, dashed: bool) -> None:
    import plotly.colors

    palette = plotly.colors.qualitative.Plotly
    colour = palette[index % len(palette)]
    name = f"{entry.contender.model} ({entry.contender.runner}, {entry.contender.precision})"
    interval = mae_interval(entry.scores)
    steps = list(range(1, len(entry.scores.mae) + 1))
    figure.add_scatter(
        x=steps,
        y=list(entry.scores.mae),
        mode="lines" if dashed else "lines+markers",
        name=name,
        line={"color": colour, "dash": "dash" if dashed else "solid"},
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=steps + steps[::-1],
        y=[*interval.high, *interval.low[::-1]],
        fill="toself",
        fillcolor=colour,
        opacity=0.12,
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=1,
    )
