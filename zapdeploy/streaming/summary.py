"""A stream's report for people: a line while it runs, a table and a picture at its end."""

from __future__ import annotations

from zapdeploy.streaming.report import StreamReport, milliseconds

SHOWN_STEPS = (1, 4, 8, 16, 32)


def live_line(report: StreamReport) -> str:
    """One line of where the stream stands."""
    total, troubles = report.stages["total"], sum(report.tally.counts.values())
    rate = report.options.frame_rate_hz
    at = "" if rate is None else f" at {rate:g} Hz"
    return (
        f"frame {report.frames:,}{at}: p50 {milliseconds(total.quantile_s(0.5))}, p99.9 "
        f"{milliseconds(total.quantile_s(0.999))}, missed {report.missed:,}, troubles {troubles:,}"
    )


def headline(report: StreamReport) -> str:
    """Whether it kept up, in one sentence."""
    total, rate = report.stages["total"], report.options.frame_rate_hz
    slow = total.quantile_s(0.999)
    if not report.sent:
        return f"No forecast was sent ({report.ended})."
    if rate is None:
        out = f"99.9 % of {report.sent:,} forecasts were out within {milliseconds(slow)}"
        return f"{out} of their frame."
    verdict = "Keeps up" if report.keeps_up else "Does not keep up"
    return (
        f"{verdict} with {rate:g} Hz: 99.9 % of {report.sent:,} forecasts were out within "
        f"{milliseconds(slow)}, {slow * rate:.2g} of the {milliseconds(1 / rate)} between frames; "
        f"{report.missed:,} were late."
    )


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
            f"the chip itself would take {milliseconds(report.simulated_device_s)} for a frame "
            "(simulated); "
            "the times above are of its simulation on this computer"
        )
    return lines


def page(report: StreamReport, title: str) -> str:
    """Latency over time, as one HTML file that needs nothing from outside."""
    figure = report.plot()
    figure.update_layout(title={"text": f"{title}<br><sub>{headline(report)}</sub>"})
    found: str = figure.to_html(include_plotlyjs=True, full_html=True)
    return found
