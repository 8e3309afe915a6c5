"""A stream's report for people: a line while it runs, a table and a picture at its end."""

from __future__ import annotations

from zapdeploy.errors import UsageError
from zapdeploy.streaming.stream import STAGES, StreamReport

SHOWN_STEPS = (1, 4, 8, 16, 32)
_WORDS = {
    "transport": "sender to here",
    "wait": "until its turn",
    "window": "into the context",
    "host_in": "host part before",
    "device": "network",
    "host_out": "host part after",
    "send": "to the sink",
    "total": "arrival to sent",
}


def live_line(report: StreamReport) -> str:
    """One line of where the stream stands."""
    total, troubles = report.stages["total"], sum(report.tally.counts.values())
    rate = report.options.frame_rate_hz
    at = "" if rate is None else f" at {rate:g} Hz"
    return (
        f"frame {report.frames:,}{at}: p50 {_ms(total.quantile_s(0.5))}, p99.9 "
        f"{_ms(total.quantile_s(0.999))}, missed {report.missed:,}, troubles {troubles:,}"
    )


def headline(report: StreamReport) -> str:
    """Whether it kept up, in one sentence."""
    total, rate = report.stages["total"], report.options.frame_rate_hz
    slow = total.quantile_s(0.999)
    if not report.sent:
        return f"No forecast was sent ({report.ended})."
    if rate is None:
        return f"99.9 % of {report.sent:,} forecasts were out within {_ms(slow)} of their frame."
    verdict = "Keeps up" if report.keeps_up else "Does not keep up"
    return (
        f"{verdict} with {rate:g} Hz: 99.9 % of {report.sent:,} forecasts were out within "
        f"{_ms(slow)}, {slow * rate:.2g} of the {_ms(1 / rate)} between frames; "
        f"{report.missed:,} were late."
    )


def stage_rows(report: StreamReport) -> list[tuple[str, ...]]:
    """A row for each stage: what, p50, p95, p99, p99.9, maximum, jitter."""
    rows = []
    for name in STAGES:
        found = report.stages[name]
        if found.count:
            quantiles = (found.quantile_s(share) for share in (0.5, 0.95, 0.99, 0.999))
            last = (found.maximum_ns * 1e-9, found.jitter_s)
            rows.append((_WORDS[name], *(_ms(value) for value in (*quantiles, *last))))
    return rows


STAGE_COLUMNS = ("stage (measured)", "p50", "p95", "p99", "p99.9", "maximum", "jitter")


def notes(report: StreamReport) -> list[str]:
    """Lines after the table: what was counted, and what each step's forecast is still good for."""
    lines = [
        f"{report.frames:,} frames in ({report.filling:,} to fill the context), "
        f"{report.forecasts:,} forecasts, {report.sent:,} sent; ended: {report.ended}"
    ]
    if report.tally.counts:
        counted = ", ".join(
            f"{kind.replace('_', ' ')} {number:,}" for kind, number in report.tally.counts.items()
        )
        lines.append(f"troubles: {counted}")
    leads = [lead for lead in report.useful_lead_s() if lead["step"] in SHOWN_STEPS]
    if leads:
        shown = ", ".join(f"h={int(lead['step'])} {lead['p99.9_s']:.3g} s" for lead in leads)
        lines.append(f"useful lead at p99.9 (h x period - latency): {shown}")
    if report.simulated_device_s is not None:
        lines.append(
            f"the chip itself would take {_ms(report.simulated_device_s)} for a frame (simulated); "
            "the times above are of its simulation on this computer"
        )
    return lines


def page(report: StreamReport, title: str) -> str:
    """Latency over time, as one HTML file that needs nothing from outside."""
    try:
        import plotly.graph_objects as plotly
    except ModuleNotFoundError as error:
        raise UsageError(
            "plotly must be installed to draw, not missing; run: pip install plotly"
        ) from error
    curve = report.curve.as_json()
    figure = plotly.Figure()
    for name, key in (("greatest", "greatest_s"), ("mean", "mean_s"), ("least", "least_s")):
        figure.add_scatter(
            x=curve["at_s"], y=[1e3 * value for value in curve[key]], mode="lines", name=name
        )
    if (rate := report.options.frame_rate_hz) is not None:
        figure.add_hline(
            y=1e3 / rate, line_dash="dash", annotation_text=f"next frame ({rate:g} Hz)"
        )
    figure.update_layout(
        title={"text": f"{title}<br><sub>{headline(report)}</sub>"},
        xaxis_title="time since the first forecast (s)",
        yaxis_title="frame's arrival to forecast sent (ms)",
        yaxis_type="log",
        template="plotly_white",
    )
    found: str = figure.to_html(include_plotlyjs=True, full_html=True)
    return found


def _ms(seconds: float) -> str:
    """Milliseconds, the unit of every time of a stream."""
    milliseconds = 1e3 * seconds
    return f"{milliseconds:,.0f} ms" if milliseconds >= 100 else f"{milliseconds:.3g} ms"
