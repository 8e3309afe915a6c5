"""Networks too large for their chips, whose boxes come from the host's memory in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from zapdeploy.compile.frames import frames_of
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.program.program import Options, Origin
from zapdeploy.compile.space.turns_file import load_turns, save_turns
from zapdeploy.compile.space.turns_program import TurnsProgram, build_turns
from zapdeploy.errors import UsageError
from zapdeploy.hardware_targets import parse_target, target_text
from zapdeploy.progress import Progress
from zapdeploy.sim.asked import ESTIMATE, TIMING, Level, check_options, check_simulation
from zapdeploy.sim.space.turns_results import TurnsResult, time_turns


def compile_turns(
    model: str | Path,
    target: str | Path = "northpole-sim",
    *,
    chips: int = 1,
    batch: int | None = None,
    objective: str = "throughput",
    effort: str = "normal",
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    output: str | Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> TurnsProgram:
    """Compile a quantized ONNX file for chips that do not hold it, box after box of its space.

    Args:
        model: A network whose inputs have spatial dimensions, [frames, channels, ...].
        target: A name, or a path to a TOML file.
        chips: How many share the boxes.
        batch: Replaces the first dimension of every input; None keeps the file's own.
        objective: What each chip's mapping is chosen for: throughput, latency or energy.
        effort: How many mappings are priced: quick or normal.
        shapes: Of inputs with other open dimensions than the batch, by name.
        output: Where to write the .zap file.
        progress: Called with what is done, how far it is, and how far it goes.

    Raises:
        DoesNotFitError: No box is small enough.
        UsageError: The network has no space, or an option is wrong.
    """
    check_options(batch, chips, None, objective, effort)
    if effort == "thorough":
        raise UsageError("--effort must be quick or normal with --split turns, not thorough")
    where, text = target_text(target)
    chip = parse_target(text, f"target file '{where}'")
    imported = import_model(Path(model), batch=batch, shapes=shapes)
    graph = replace(imported.graph, name=Path(model).stem)
    options = Options(batch or frames_of(graph), chips, objective, effort)
    origin = Origin(imported.origin.file, imported.origin.sha256, imported.origin.notes)
    found = build_turns(graph, origin, chip, text, options, chips, progress)
    return found if output is None else save_turns(found, Path(output))


def simulate_turns(
    program: TurnsProgram | str | Path,
    *,
    passes: int = 1,
    frame_rate_hz: float | None = None,
    level: Level = TIMING,
) -> TurnsResult:
    """Time and price a network in turn.

    Args:
        program: What `compile_turns` gave, or the .zap file of it.
        passes: Passes that make a frame, such as 32 lead times.
        frame_rate_hz: Frames that come in each second, for energy with waiting included.
        level: "timing" schedules every round's largest box, cycle by cycle; "estimate" takes the
            compiler's closed form.
    """
    check_simulation(frame_rate_hz, level, passes)
    whole = load_turns(Path(program)) if isinstance(program, str | Path) else program
    if level == ESTIMATE:
        return time_turns(whole, (), passes, frame_rate_hz)
    from zapdeploy.sim.schedule import scheduled_chip

    timelines = [scheduled_chip(each).timeline for each in whole.programs]
    return time_turns(whole, timelines, passes, frame_rate_hz)
