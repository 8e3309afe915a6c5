"""How a stream is run, and what happened: counts, and times of every stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from zapdeploy.errors import UsageError
from zapdeploy.streaming.forecaster import Forecaster
from zapdeploy.streaming.latency import Curve, Histogram
from zapdeploy.streaming.troubles import Policies, Tally
from zapdeploy.tables import Answer, Table

STAGES = ("transport", "wait", "window", "host_in", "device", "host_out", "send", "total")
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
_WAITING = 64  # frames, and forecasts, between the threads


@dataclass(frozen=True)
class StreamOptions:
    """How a stream is run.

    frame_rate_hz: at which frames are expected; its period is the deadline, and None is unknown.
    frames: stop after so many; None: when the source ends. idle_s: stop when nothing came for so
    long; None: wait for ever. warmup: forecasts made before the first frame, which do not count.
    ahead: frames that are received before their turn; the source keeps the others.
    """

    frame_rate_hz: float | None = None
    policies: Policies = field(default_factory=Policies)
    frames: int | None = None
    idle_s: float | None = None
    warmup: int = 3
    ahead: int = _WAITING

    def __post_init__(self) -> None:
        if self.frame_rate_hz is not None and not 0 < self.frame_rate_hz < float("inf"):
            raise UsageError(f"frame rate must be above 0 Hz, not {self.frame_rate_hz:g}")
        if self.frames is not None and self.frames < 1:
            raise UsageError(f"--frames must be 1 or more, not {self.frames}")

    @property
    def period_ns(self) -> int | None:
        """Between two frames."""
        return None if self.frame_rate_hz is None else round(1e9 / self.frame_rate_hz)


@dataclass(frozen=True)
class Times:
    """When a frame came, and when its forecast was packed; nanoseconds."""

    arrived_ns: int
    packed_ns: int


class StreamReport(Answer):
    """What happened, up to now: counts, and times of every stage.

    `to_frame()` has a row for each stage; `plot()` draws latency over time.
    """

    def __init__(self, forecaster: Forecaster, options: StreamOptions, tally: Tally) -> None:
        self.stages = {name: Histogram() for name in STAGES}
        self.warmup = Histogram()
        self.curve = Curve()
        self.horizon, self.options, self.tally = forecaster.horizon, options, tally
        self.engine = forecaster.engine.name
        self.simulated_device_s = forecaster.engine.simulated_s
        self.frames = self.forecasts = self.sent = self.missed = self.filling = 0
        self.ended = "running"

    def add_sent(self, times: Times, sent_ns: int) -> None:
        """A forecast has left."""
        self.sent += 1
        total = sent_ns - times.arrived_ns
        self.stages["send"].add(sent_ns - times.packed_ns)
        self.stages["total"].add(total)
        self.curve.add(sent_ns, total)
        period = self.options.period_ns
        if period is not None and total > period:
            self.missed += 1

    def __repr__(self) -> str:
        verdict = {True: ", keeps up", False: ", does not keep up", None: ""}[self.keeps_up]
        return f"<StreamReport: {self.frames:,} frames in, {self.sent:,} forecasts sent{verdict}>"

    def records(self) -> list[dict[str, Any]]:
        """The stages that were timed; seconds."""
        found = ((name, self.stages[name]) for name in STAGES)
        return [{"stage": name, **held.as_json()} for name, held in found if held.count]

    def tables(self) -> tuple[Table, ...]:
        """The stages for people."""
        rows = []
        for name in STAGES:
            held = self.stages[name]
            if held.count:
                quantiles = (held.quantile_s(share) for share in (0.5, 0.95, 0.99, 0.999))
                last = (held.maximum_ns * 1e-9, held.jitter_s)
                rows.append((_WORDS[name], *map(milliseconds, (*quantiles, *last))))
        columns = ("stage (measured)", "p50", "p95", "p99", "p99.9", "maximum", "jitter")
        return (Table(f"engine {self.engine}", columns, rows),)

    def _figure(self, graph_objects: Any) -> Any:
        curve = self.curve.as_json()
        figure = graph_objects.Figure()
        for name, key in (("greatest", "greatest_s"), ("mean", "mean_s"), ("least", "least_s")):
            figure.add_scatter(
                x=curve["at_s"], y=[1e3 * value for value in curve[key]], mode="lines", name=name
            )
        if (rate := self.options.frame_rate_hz) is not None:
            figure.add_hline(
                y=1e3 / rate, line_dash="dash", annotation_text=f"next frame ({rate:g} Hz)"
            )
        figure.update_layout(
            xaxis_title="time since the first forecast (s)",
            yaxis_title="frame's arrival to forecast sent (ms)",
            yaxis_type="log",
            template="plotly_white",
        )
        return figure

    @property
    def keeps_up(self) -> bool | None:
        """Whether 99.9 % of the forecasts were out before the next frame; None: rate unknown."""
        period = self.options.period_ns
        if period is None or not self.sent:
            return None
        return self.stages["total"].quantile_s(0.999) <= period * 1e-9

    def useful_lead_s(self) -> list[dict[str, float]]:
        """What is left of each step's lead time when its forecast is out: h x period - latency."""
        period = self.options.period_ns
        if period is None:
            return []
        total = self.stages["total"]
        typical, slow = total.quantile_s(0.5), total.quantile_s(0.999)
        steps = range(1, self.horizon + 1)
        return [
            {"step": h, "p50_s": h * period * 1e-9 - typical, "p99.9_s": h * period * 1e-9 - slow}
            for h in steps
        ]

    def as_json(self) -> dict[str, Any]:
        """All of it; times in seconds on this machine's monotonic clock."""
        counted = ("frames", "filling", "forecasts", "sent", "engine", "ended", "keeps_up")
        return {
            **{name: getattr(self, name) for name in counted},
            "kind": "measured",
            "clock": "monotonic",
            "frame_rate_hz": self.options.frame_rate_hz,
            "deadlines_missed": self.missed,
            "simulated_device_s": self.simulated_device_s,
            "troubles": dict(self.tally.counts),
            "stages": {name: found.as_json() for name, found in self.stages.items()},
            "warmup": self.warmup.as_json(),
            "useful_lead": self.useful_lead_s(),
            "latency_over_time": self.curve.as_json(),
        }


def milliseconds(seconds: float) -> str:
    """The unit of every time of a stream."""
    found = 1e3 * seconds
    return f"{found:,.0f} ms" if found >= 100 else f"{found:.3g} ms"
