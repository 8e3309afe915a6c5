"""The answer of `simulate` for a network in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zapdeploy.compile.space.turns_program import TurnsProgram
from zapdeploy.sim.space.turns_summary import turns_json, turns_table
from zapdeploy.sim.space.turns_time import TurnsPerformance, round_time
from zapdeploy.sim.timing import Timeline, time_program
from zapdeploy.tables import Answer, Table


class TurnsResult(TurnsPerformance, Answer):
    """Frames per second and joules of a network in turn. In a notebook: a table.

    `to_frame()` has a row for each round; `plot()` draws what each one goes to.
    """

    def __repr__(self) -> str:
        return (
            f"<TurnsResult of {self.program.model} on {self.program.on_what}:"
            f" {self.throughput_fps:.3g} frames/s ({self.timing_kind.value})>"
        )

    def tables(self) -> tuple[Table, ...]:
        """The summary that the command line prints."""
        return (turns_table(self),)

    def records(self) -> list[dict[str, Any]]:
        """The rounds, as in the JSON document."""
        rounds: list[dict[str, Any]] = self.as_json()["rounds"]
        return rounds

    def as_json(self) -> dict[str, Any]:
        """The document of `compile` and `simulate` (SI units)."""
        return turns_json(self)

    def _figure(self, graph_objects: Any) -> Any:
        """What each round goes to, and its length."""
        figure = graph_objects.Figure()
        for name in ("link_in_s", "array_s", "link_out_s", "seconds"):
            figure.add_bar(name=name, y=[getattr(each, name) for each in self.rounds])
        title = f"{self.program.model} on {self.program.on_what}: seconds of each round"
        figure.update_layout(title=title, xaxis_title="round", template="plotly_white")
        return figure


def time_turns(
    program: TurnsProgram,
    timelines: Sequence[Timeline] = (),
    passes: int = 1,
    frame_rate_hz: float | None = None,
) -> TurnsResult:
    """Time a network in turn; `timelines`: the rounds' schedules, estimates if not given."""
    target, found = program.target, []
    known = tuple(timelines) or tuple(map(time_program, program.programs))
    rate, latency = float(target.host.bandwidth.value), target.host.transfer_latency_s
    for each, timeline in zip(program.rounds, known, strict=True):
        into, out = (size / rate for size in each.box_bytes(target))
        run_s = timeline.array_s + target.host.launch_latency_s
        found.append(round_time(into, out, run_s, program.cards, latency))
    return TurnsResult(program, known, tuple(found), passes, frame_rate_hz)
