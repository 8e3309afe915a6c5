"""The answer of `simulate` for a network that is cut over space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zapdeploy.compile.space.program import SpaceProgram
from zapdeploy.errors import DoesNotFitError
from zapdeploy.sim.space.documents import space_json
from zapdeploy.sim.space.flow import flow
from zapdeploy.sim.space.performance import SpacePerformance
from zapdeploy.sim.space.steps import steps_of
from zapdeploy.sim.space.summary import space_table
from zapdeploy.sim.timing import Timeline, time_program
from zapdeploy.tables import Answer, Table


class SpaceResult(SpacePerformance, Answer):
    """Frames per second and joules of a network on all cards of a grid. In a notebook: a table.

    `to_frame()` has a row for each card; `plot()` draws how busy they are.
    """

    def __repr__(self) -> str:
        return (
            f"<SpaceResult of {self.program.model} on {self.program.on_what}:"
            f" {self.throughput_fps:.3g} frames/s ({self.timing_kind.value})>"
        )

    def tables(self) -> tuple[Table, ...]:
        """The summary that the command line prints."""
        return (space_table(self),)

    def records(self) -> list[dict[str, Any]]:
        """The cards, as in the JSON document."""
        cards: list[dict[str, Any]] = self.as_json()["cards"]
        return cards

    def as_json(self) -> dict[str, Any]:
        """The document of `compile` and `simulate` (SI units)."""
        return space_json(self)

    def _figure(self, graph_objects: Any) -> Any:
        """A heat map of the cards: how long each works of a pass, plane by plane."""
        busy = self.flow.ended_s - self.flow.halo_wait_s - self.flow.sum_wait_s
        parts = self.program.grid.parts
        rows = busy.reshape(-1, parts[-1]) / self.interval_s
        figure = graph_objects.Figure(graph_objects.Heatmap(z=rows, colorbar={"title": "busy"}))
        title = f"{self.program.model} on {self.program.on_what}: share of a pass that cards work"
        figure.update_layout(title=title, template="plotly_white")
        return figure


def time_space(
    program: SpaceProgram,
    timelines: Sequence[Timeline] = (),
    passes: int = 1,
    frame_rate_hz: float | None = None,
) -> SpaceResult:
    """Time and price a network cut over space.

    `timelines`: the kinds' schedules, estimates if not given. Raises DoesNotFitError for one that
    does not fit.
    """
    if not program.fits:
        raise DoesNotFitError(program.why_not)
    programs = list(program.programs)
    found = tuple(timelines) or tuple(map(time_program, programs))
    clock = program.target.clock_hz
    steps = [
        steps_of(program.cards, kind, one, [(s.end - s.start) / clock for s in timeline.spans])
        for kind, (one, timeline) in enumerate(zip(programs, found, strict=True))
    ]
    passing = flow(program.cards, steps, program.target)
    return SpaceResult(program, found, passing, passes, frame_rate_hz)
