"""What each assumed number of a chip does to a network's result, one at a time.

Every assumed number is set to the low and to the high end of its error, and the network is mapped
anew for that chip. Prices of events change no time, so they only change the energy.

Published peak rates are held: where the matrix unit's input width or the operations per MAC change,
its outputs change the other way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zapdeploy.api import simulate
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.multichip.pipeline import Pipeline, single
from zapdeploy.compile.multichip.pipeline_partitioner import build_pipeline
from zapdeploy.compile.program.program import Options, Origin
from zapdeploy.documents import Document
from zapdeploy.errors import UsageError
from zapdeploy.hardware_targets import Figure, Target, parse_target, target_text
from zapdeploy.progress import Progress
from zapdeploy.sim.asked import ESTIMATE, TIMING
from zapdeploy.sim.results import Result

_ENERGY = "energy."
_BY_VALUE = "energy.activity."
_OUTPUTS, _WIDTH, _OPS = (
    f"core.matrix_unit.{part}" for part in ("outputs", "input_width", "ops_per_mac")
)


@dataclass(frozen=True)
class Effect(Document):
    """One assumed number at both ends of its error, and what becomes of the result.

    None where the network does not fit such a chip.
    """

    key: str
    stated: str
    ends: tuple[float, float]
    unit: str
    frames_per_s: tuple[float | None, float | None]
    energy_j: tuple[float | None, float | None]


@dataclass(frozen=True)
class Sensitivity:
    """The stated chip's result, and the effect of every assumed number on it."""

    model: str
    target: str
    batch: int
    frames_per_s: float
    energy_j: float
    effects: tuple[Effect, ...]

    @property
    def interval_fps(self) -> tuple[float, float]:
        """Frames per second that the assumptions leave: root of the sum of squared effects."""
        down = up = 0.0
        for effect in self.effects:
            changes = [fps - self.frames_per_s for fps in effect.frames_per_s if fps is not None]
            down += min(*changes, 0.0) ** 2 if changes else 0.0
            up += max(*changes, 0.0) ** 2 if changes else 0.0
        return self.frames_per_s - down**0.5, self.frames_per_s + up**0.5

    def as_json(self) -> dict[str, Any]:
        low, high = self.interval_fps
        plain = {key: value for key, value in vars(self).items() if key != "effects"}
        interval = {"low": low, "high": high}
        return {**plain, "interval_fps": interval, "effects": [e.as_json() for e in self.effects]}


def sensitivity(
    model: Path,
    target: str,
    *,
    batch: int,
    scheduled: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Sensitivity:
    """Compile for the stated chip, and for every chip that differs in one assumed number.

    Cycles are the compiler's estimate, or `scheduled`: those of a schedule of all units and links.
    """
    where, text = target_text(target)
    chip = parse_target(text, f"target file '{where}'")
    imported = import_model(model, batch=batch)
    origin = Origin(imported.origin.file, imported.origin.sha256, imported.origin.notes)
    options = Options(batch, 1, "throughput")

    def result(changed: Target) -> Result | None:
        made = build_pipeline(imported.graph, origin, changed, text, options, batch, 1)
        return simulate(made, level=TIMING if scheduled else ESTIMATE) if made.fits else None

    stated = result(chip)
    if stated is None:
        raise UsageError(f"model must fit {chip.name} on one chip at batch {batch}; see compile")
    assumed = [(key, figure) for key, figure in chip.figures() if _matters(key, figure)]
    effects = []
    for index, (key, figure) in enumerate(assumed):
        progress(key, index, len(assumed))
        changed = [with_number(chip, key, end) for end in (figure.low, figure.high)]
        effects.append(_effect(key, figure, [_result(c, key, stated, result) for c in changed]))
    return Sensitivity(
        model=model.stem,
        target=chip.name,
        batch=batch,
        frames_per_s=stated.throughput_fps,
        energy_j=stated.energy_per_frame.value,
        effects=tuple(effects),
    )


def with_number(target: Target, key: str, value: float) -> Target:
    """The same chip with another value at a key such as "host.bandwidth".

    What follows from published rates goes along: see the module's docstring.
    """
    changed = _replaced(target, key.split("."), value)
    if key not in (_WIDTH, _OPS):
        return changed
    unit = target.core.matrix_unit
    figure = unit.input_width if key == _WIDTH else unit.ops_per_mac
    return _replaced(changed, _OUTPUTS.split("."), unit.outputs.value * figure.value / value)


def _matters(key: str, figure: Figure) -> bool:
    """Assumed numbers with an error; the outputs follow the input width, and what values do to
    prices does nothing to stated ones."""
    stated = key != _OUTPUTS and not key.startswith(_BY_VALUE)
    return stated and figure.kind == "assumed" and figure.low < figure.high


def _result(
    changed: Target, key: str, stated: Result, result: Callable[[Target], Result | None]
) -> Result | None:
    """Mapped anew, but for a price: that leaves time and counts as they are."""
    if key.startswith(_ENERGY):
        return replace(stated, pipeline=_repriced(stated, changed))
    return result(changed)


def _repriced(stated: Result, changed: Target) -> Pipeline:
    (program,) = stated.pipeline.stages
    return single(replace(program, target=changed))


def _effect(key: str, figure: Figure, results: list[Result | None]) -> Effect:
    rates = [None if r is None else r.throughput_fps for r in results]
    energies = [None if r is None else r.energy_per_frame.value for r in results]
    return Effect(
        key=key,
        stated=figure.text,
        ends=(figure.low, figure.high),
        unit=figure.unit,
        frames_per_s=(rates[0], rates[1]),
        energy_j=(energies[0], energies[1]),
    )


def _replaced(part: Any, path: list[str], value: float) -> Any:
    """A copy of a pydantic part with the figure at `path` changed."""
    name, rest = path[0], path[1:]
    inner = getattr(part, name)
    if rest:
        return part.model_copy(update={name: _replaced(inner, rest, value)})
    certain = {"value": value, "low": value, "high": value}  # calibration cannot move it either
    return part.model_copy(update={name: inner.model_copy(update=certain)})


def sorted_by_effect(found: Sensitivity) -> Iterator[Effect]:
    """The largest effect on frames per second first, then on energy."""

    def size(effect: Effect) -> tuple[float, float]:
        rates = [abs(f - found.frames_per_s) for f in effect.frames_per_s if f is not None]
        joules = [abs(e - found.energy_j) for e in effect.energy_j if e is not None]
        return max(rates, default=float("inf")), max(joules, default=float("inf"))

    return iter(sorted(found.effects, key=size, reverse=True))
