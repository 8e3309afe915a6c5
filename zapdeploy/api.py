"""The verbs of the command line as Python functions with typed results.

import zapdeploy as zd
program = zd.compile("model.onnx", target="northpole-sim", batch=32)
result = zd.simulate(program)
print(result.throughput_fps, result.energy_per_frame)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from zapdeploy.compile import checking
from zapdeploy.compile.build import build_program
from zapdeploy.compile.container import load_program, program_digest, save_program
from zapdeploy.compile.frontend import Decision, import_model
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.memory import Unfit
from zapdeploy.compile.program import Options, Origin, Program
from zapdeploy.compile.unfit import chip_unfit, framebuffer_unfit, parameters_and_programs
from zapdeploy.errors import UsageError
from zapdeploy.hardware_targets import load_target, parse_target, target_text
from zapdeploy.sim.results import Result, summarize

Progress = Callable[[str, int, int], None]
OBJECTIVES = ("throughput", "latency", "energy")


def compile_model(
    model: str | Path,
    target: str | Path = "northpole-sim",
    *,
    batch: int | None = None,
    chips: int = 1,
    objective: str = "throughput",
    output: str | Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Program:
    """Compile a quantized ONNX file for a target (a name, or a path to a TOML file).

    `batch` replaces the first dimension of every input; None keeps the file's own. With `output`
    the Program is written there. A network that does not fit gives a Program whose `unfit` says
    why; nothing is written then. Raises ZapdeployError when file, target or options are wrong.
    """
    _check_options(batch, chips, objective)
    where, text = target_text(target)
    chip = parse_target(text, f"target file '{where}'")
    imported = import_model(Path(model), batch=batch)
    graph = replace(imported.graph, name=Path(model).stem)
    first = graph.values[graph.inputs[0]].shape
    options = Options(batch or (first[0] if first else 1), chips, objective)
    origin = Origin(imported.origin.file, imported.origin.sha256)
    program = build_program(graph, origin, chip, text, options, progress)
    if output is not None and program.fits:
        return save_program(program, Path(output))
    return replace(program, digest=program_digest(program))


def simulate(program: Program | str | Path, *, frame_rate_hz: float | None = None) -> Result:
    """Time and price a Program, or the .zap file of one."""
    if frame_rate_hz is not None and not 0 < frame_rate_hz < float("inf"):
        raise UsageError(f"frame rate must be above 0 Hz, not {frame_rate_hz}")
    loaded = program if isinstance(program, Program) else load_program(Path(program))
    return summarize(loaded, frame_rate_hz)


def load(path: str | Path) -> Program:
    """Read a .zap file. Raises ProgramError when it is damaged or of another version."""
    return load_program(Path(path))


def _check_options(batch: int | None, chips: int, objective: str) -> None:
    if batch is not None and batch < 1:
        raise UsageError(f"--batch must be 1 or more, not {batch}")
    if chips != 1:
        raise UsageError(f"--chips must be 1, not {chips}: this version maps onto one chip")
    if objective not in OBJECTIVES:
        raise UsageError(f"--objective must be one of {', '.join(OBJECTIVES)}, not '{objective}'")


@dataclass(frozen=True)
class ModelCheck:
    """What would become of each node, and whether parameters and frames would fit."""

    model: str
    target: str
    decisions: tuple[Decision, ...]
    reasons: tuple[str, ...]  # why nodes were refused; empty when all were accepted
    parameter_bytes: int
    memory_bytes: int
    unfit: Unfit | None

    @property
    def accepted(self) -> bool:
        return not self.reasons

    @property
    def fits(self) -> bool:
        return self.unfit is None

    def as_json(self) -> dict[str, Any]:
        nodes = [{**vars(d), "outcome": d.outcome.value} for d in self.decisions]
        rest = {k: v for k, v in vars(self).items() if k not in ("decisions", "unfit")}
        unfit = None if self.unfit is None else asdict(self.unfit)
        judged = {"accepted": self.accepted, "fits": self.fits, "unfit": unfit}
        return {**rest, **judged, "nodes": nodes}


def check_model(
    model: str | Path, target: str | Path = "northpole-sim", *, batch: int | None = None
) -> ModelCheck:
    """Judge a model without mapping it. Raises ZapdeployError when the file cannot be read."""
    _check_options(batch, 1, "throughput")
    chip = load_target(target)
    memory = chip.cores * int(chip.core.memory)
    judged = checking.check_model(Path(model), batch=batch)
    found = ModelCheck(Path(model).stem, chip.name, judged.decisions, (), 0, memory, None)
    if judged.imported is None:
        return replace(found, reasons=(judged.refusal,))
    layers = group_layers(judged.imported.graph)
    unfit = chip_unfit(layers, chip) or framebuffer_unfit(judged.imported.graph, layers, chip)
    return replace(
        found,
        parameter_bytes=parameters_and_programs(layers, chip),
        unfit=unfit,
    )
