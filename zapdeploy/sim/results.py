"""The answer of `simulate`: what a compiled network costs, as numbers, tables and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zapdeploy.compile.multichip.pipeline import Pipeline, single
from zapdeploy.compile.program.program import Program
from zapdeploy.errors import DoesNotFitError
from zapdeploy.formatting import quantity
from zapdeploy.sim.documents import result_json
from zapdeploy.sim.flow import flow
from zapdeploy.sim.performance import Performance, StageResult
from zapdeploy.sim.summary import summary_table
from zapdeploy.sim.timing import Timeline, time_program
from zapdeploy.tables import Answer, Table

if TYPE_CHECKING:
    from zapdeploy.sim.schedule import ScheduledChip


class Result(Performance, Answer):
    """Cycles, frames per second and joules of a compiled network. In a notebook: a table.

    `to_frame()` has a row for each layer; `plot()` draws their cycles beside the least possible.
    """

    def __repr__(self) -> str:
        pipeline = self.pipeline
        return (
            f"<Result of {pipeline.model} on {pipeline.on_what}: {self.throughput_fps:,.0f}"
            f" frames/s ({self.timing_kind.value}), {quantity(self.energy_per_frame.value, 'J')}"
            f" per frame ({self.energy_per_frame.kind.value})>"
        )

    def as_json(self) -> dict[str, Any]:
        """The JSON document of `compile` and `simulate` (SI units)."""
        return result_json(self)

    def tables(self) -> tuple[Table, ...]:
        """The summary that the command line prints."""
        return (summary_table(self),)

    def records(self) -> list[dict[str, Any]]:
        """The layers, as in the JSON document."""
        layers: list[dict[str, Any]] = self.as_json()["layers"]
        return layers

    def _figure(self, graph_objects: Any) -> Any:
        layers = self.records()
        names = [layer["name"] for layer in layers]
        bars = [
            graph_objects.Bar(x=names, y=[layer[key] for layer in layers], name=name)
            for key, name in (("cycles", self.level), ("bound_cycles", "least possible"))
        ]
        figure = graph_objects.Figure(bars)
        figure.update_layout(
            title=f"{self.pipeline.model} on {self.pipeline.on_what}: cycles of each layer",
            yaxis_title="cycles",
            template="plotly_white",
        )
        return figure


def summarize(
    program: Pipeline | Program,
    frame_rate_hz: float | None = None,
    scheduled: Sequence[ScheduledChip] = (),
) -> Result:
    """Time and price a pipeline that fits; a Program alone is one of a single stage.

    `scheduled`: the schedules of the stages; without, their times are the compiler's estimates.
    Raises DoesNotFitError for one that does not fit.
    """
    pipeline = single(program) if isinstance(program, Program) else program
    check_fits(pipeline)
    found = [chip.timeline for chip in scheduled] or map(time_program, pipeline.stages)
    stages = tuple(map(_stage_result, pipeline.stages, found))
    timelines = [stage.timeline for stage in stages]
    passing = flow(timelines, pipeline.links, pipeline.micro_batches)
    return Result(pipeline, stages, passing, frame_rate_hz, tuple(chip.array for chip in scheduled))


def check_fits(pipeline: Pipeline) -> None:
    """Raise DoesNotFitError, with what would help, for a network that does not fit."""
    if pipeline.violation is not None:
        raise DoesNotFitError(pipeline.why_not)


def _stage_result(program: Program, timeline: Timeline) -> StageResult:
    return StageResult(
        layers=program.layers,
        memory=program.memory,
        mapping_gap=program.mapping_gap,
        timeline=timeline,
        counts=sum((layer.counts for layer in program.layers), program.boundary_counts),
    )
