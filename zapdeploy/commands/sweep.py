"""Throughput against latency: one network at several batch sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zapdeploy.benchmarks.simulated.rates import spread
from zapdeploy.errors import UsageError
from zapdeploy.explore.evaluate import Workshop
from zapdeploy.explore.points import Job
from zapdeploy.formatting import count, interval, quantity
from zapdeploy.hardware_targets import target_text
from zapdeploy.progress import Progress
from zapdeploy.sim.asked import TIMING, Level
from zapdeploy.sim.results import Result
from zapdeploy.tables import Answer, Table

BATCHES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Sweep(Answer):
    """A result for each batch size that fits; `too_large` are those that do not."""

    model: str
    target: str
    results: tuple[Result, ...]
    too_large: tuple[int, ...]

    def __repr__(self) -> str:
        sizes = ", ".join(str(result.batch) for result in self.results)
        return f"<Sweep of {self.model} on {self.target}: batch {sizes or 'none fits'}>"

    def as_json(self) -> dict[str, Any]:
        """The JSON document of `sweep`."""
        return {"model": self.model, "target": self.target, "rows": self.records()}

    def records(self) -> list[dict[str, Any]]:
        """A row for each batch size."""
        return [_record(result) for result in self.results]

    def tables(self) -> tuple[Table, ...]:
        """One table: rate, latency, energy and power by batch size."""
        columns = (
            *("batch", "frames/s", "of the bound", "latency on chip", "with host link"),
            *("energy per frame", "power"),
        )
        chips = self.results[0].chips if self.results else 1
        where = f"{chips} x {self.target}" if chips > 1 else self.target
        kind = self.results[0].timing_kind.value if self.results else "none fits"
        title = f"{self.model} on {where}: time {kind}, energy modelled"
        return (Table(title, columns, [_cells(result) for result in self.results]),)

    def _figure(self, graph_objects: Any) -> Any:
        """Frames per second over latency, one point per batch size."""
        line = graph_objects.Scatter(
            x=[result.latency_s * 1e3 for result in self.results],
            y=[result.throughput_fps for result in self.results],
            text=[f"batch {result.batch}" for result in self.results],
            mode="lines+markers+text",
            textposition="bottom right",
            name=self.model,
        )
        figure = graph_objects.Figure(line)
        figure.update_layout(
            title=f"{self.model} on {self.target}",
            xaxis={"title": "latency of a batch, host link included (ms)", "type": "log"},
            yaxis={"title": "frames per second", "rangemode": "tozero"},
            template="plotly_white",
        )
        return figure


def sweep(
    model: str | Path,
    target: str | Path = "northpole-sim",
    *,
    batches: Sequence[int] = BATCHES,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    chips: int | None = None,
    level: Level = TIMING,
    progress: Progress = lambda what, done, total: None,
) -> Sweep:
    """Compile and time a quantized ONNX file at several batch sizes.

    Args:
        model: A quantized ONNX file.
        target: A chip: its name, or the path of its TOML file.
        batches: Batch sizes to try, in this order.
        shapes: Whole shapes of inputs with other open dimensions than the batch, by name.
        chips: How many chips; by default as many as the first batch size that fits takes, so that
            the rows can be compared.
        level: "timing" schedules every unit and link, "estimate" is the compiler's closed form.
        progress: Called with what is done, how far, of how much.

    Raises:
        UsageError: A batch size is below 1, or there is none.
        ModelError: The file cannot be compiled.
    """
    if not batches or min(batches) < 1:
        raise UsageError(f"--batches must be whole numbers from 1, not {list(batches)}")
    found = list(_results(model, target, batches, shapes, chips, level, progress))
    fitting = tuple(one for one in found if isinstance(one, Result))
    too_large = tuple(one for one in found if isinstance(one, int))
    return Sweep(Path(model).stem, str(target), fitting, too_large)


def _results(
    model: str | Path,
    target: str | Path,
    batches: Sequence[int],
    shapes: Mapping[str, tuple[int, ...]] | None,
    chips: int | None,
    level: Level,
    progress: Progress,
) -> Iterator[Result | int]:
    """The points of an exploration whose one axis is the batch, computed here."""
    workshop, text = Workshop(shapes), target_text(target)[1]
    for index, size in enumerate(batches):
        progress("batch sizes", index, len(batches))
        timing = "schedule" if level == TIMING else "estimate"
        job = Job("", text, size, chips, None, "throughput", "normal", None, timing)
        result = workshop.result(str(model), Path(model), job)
        if isinstance(result, str):
            yield size
            continue
        chips = result.chips
        yield result


def _record(result: Result) -> dict[str, Any]:
    found = spread(result)
    return {
        "batch": result.batch,
        "chips": result.chips,
        "throughput_fps": result.throughput_fps,
        "latency_s": result.latency_s,
        "latency_array_s": result.array_s,
        "bound_throughput_fps": result.bound_throughput_fps,
        "timing_kind": result.timing_kind.value,
        "energy_per_frame_j": result.energy_per_frame.as_json(),
        "power_w": result.power_w.value,
        "intervals": {
            "throughput_fps": found.frames_per_s.as_json(),
            "latency_s": found.latency_s.as_json(),
            "power_w": found.power_w.as_json(),
        },
        "mapping_gap": result.mapping_gap,
    }


def _cells(result: Result) -> tuple[str, ...]:
    found = spread(result)
    rate = found.frames_per_s
    return (
        str(result.batch),
        f"{count(rate.value)} ({count(rate.low)} to {count(rate.high)})",
        f"{result.throughput_fps / result.bound_throughput_fps:.1%}",
        quantity(result.array_s, "s"),
        interval(found.latency_s, "s"),
        interval(result.energy_per_frame, "J"),
        interval(found.power_w, "W"),
    )
