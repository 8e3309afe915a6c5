"""The commands as Python functions with typed results.

import zapdeploy as zd
program = zd.compile("model.onnx", target="northpole-sim", batch=32)
result = zd.simulate(program)
print(result.throughput_fps, result.energy_per_frame)
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from zapdeploy.compile import checking
from zapdeploy.compile.frames import frames_of
from zapdeploy.compile.frontend import Decision, Imported, import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.memory import CapacityViolation
from zapdeploy.compile.multichip.parts import Parts, Refine, compile_parts, part_files
from zapdeploy.compile.multichip.pipeline import Pipeline, single
from zapdeploy.compile.multichip.pipeline_file import load_pipeline, pipeline_digest, save_pipeline
from zapdeploy.compile.multichip.pipeline_partitioner import build_pipeline
from zapdeploy.compile.passes import run_passes
from zapdeploy.compile.passes.remove_dead import RemoveDead
from zapdeploy.compile.passes.skip_zero_blocks import SkipZeroBlocks
from zapdeploy.compile.program.build import check_widths
from zapdeploy.compile.program.capacity import (
    chip_violation,
    framebuffer_violation,
    parameters_and_programs,
)
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.compile.space.grid import Grid, parse_grid
from zapdeploy.compile.space.program import SpaceProgram, build_space, suited_grid
from zapdeploy.compile.space.space_file import load_space, save_space
from zapdeploy.errors import ModelError, UsageError
from zapdeploy.hardware_targets import Target, load_target, parse_target, target_text
from zapdeploy.progress import Progress
from zapdeploy.sim.asked import ESTIMATE, TIMING, Level, check_options, check_simulation
from zapdeploy.sim.results import Result, check_fits, summarize
from zapdeploy.sim.space.results import SpaceResult, time_space
from zapdeploy.simplify import InputShapes
from zapdeploy.tables import Answer, Table


def compile_model(
    model: str | Path,
    target: str | Path = "northpole-sim",
    *,
    batch: int | None = None,
    chips: int | None = None,
    micro_batch: int | None = None,
    objective: str = "throughput",
    effort: str = "normal",
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    state: Mapping[str, str] | None = None,
    skip_zero_blocks: bool = False,
    output: str | Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Pipeline:
    """Compile a quantized ONNX file for a target (a name, or a path to a TOML file).

    A folder of ONNX files is a network in parts, a chip for each, read one at a time (`parts`).
    `batch` replaces the first dimension of every input; None keeps the file's own. `chips`: None is
    one if the network fits there, else as few as it takes. `micro_batch`: frames that a chip takes
    at a time; None is the whole batch on one chip, and chosen on several (see `_splits`). `shapes`:
    those of inputs with other open dimensions than the batch, by name. `state`: inputs and the
    outputs of the frame before that they are, kept on the chip. `skip_zero_blocks`: matrix products
    leave out blocks of weights that are all zero, which changes no result. With `output` the
    Pipeline is written there. A network that does not fit gives one whose `violation` says why;
    nothing is written then. Raises ZapdeployError when file, target or options are wrong.
    """
    check_options(batch, chips, micro_batch, objective, effort)
    where, text = target_text(target)
    chip = parse_target(text, f"target file '{where}'")
    path = Path(model)
    if path.is_dir():
        parts = Parts(path, part_files(path), chip, text, batch, objective, effort, _refine(effort))
        _check_parts(parts, chips, micro_batch, state, output)
        if skip_zero_blocks:
            raise UsageError("--skip-zero-blocks must be left out for a network in parts")
        return compile_parts(parts, Path(output or ""), progress)

    def read(frames: int | None) -> Imported:
        imported = import_model(path, batch=frames, shapes=shapes, state=state)
        if not skip_zero_blocks:
            return imported
        passes = (SkipZeroBlocks(chip.core.matrix_unit), RemoveDead())
        return replace(imported, graph=run_passes(imported.graph, passes))

    found = compile_network(
        read,
        path.stem,
        chip,
        text,
        batch=batch,
        chips=chips,
        micro_batch=micro_batch,
        objective=objective,
        effort=effort,
        progress=progress,
    )
    if output is not None and found.fits:
        return save_pipeline(found, Path(output))
    return replace(found, digest=pipeline_digest(found))


def compile_network(
    read: Callable[[int | None], Imported],
    name: str,
    chip: Target,
    text: str,
    *,
    batch: int | None = None,
    chips: int | None = None,
    micro_batch: int | None = None,
    objective: str = "throughput",
    effort: str = "normal",
    progress: Progress = lambda what, done, total: None,
) -> Pipeline:
    """Compile what `read` imports, with so many frames in a batch, for a checked target.

    `text`: the target's file. The pipeline has no digest.
    """
    check_options(batch, chips, micro_batch, objective, effort)
    imported = read(batch)
    options = Options(batch or frames_of(imported.graph), chips or 1, objective, effort)
    origin = Origin(imported.origin.file, imported.origin.sha256, imported.origin.notes)

    def build(frames: int, chips: int | None) -> Pipeline:
        part = imported if frames == options.batch else read(frames)
        graph = replace(part.graph, name=name)
        return build_pipeline(graph, origin, chip, text, options, frames, chips, progress)

    sizes = _splits(options.batch, micro_batch)
    if imported.graph.state and micro_batch not in (None, options.batch):
        raise UsageError(f"--micro-batch must be left out where there is state, not {micro_batch}")
    found = _best_split(build, sizes[:1] if imported.graph.state else sizes, chips, objective)
    if not found.fits:
        return found
    refine = _refine(effort)
    return replace(found, stages=tuple(refine(stage, progress) for stage in found.stages))


def compile_space(
    model: str | Path,
    target: str | Path = "northpole-sim",
    *,
    chips: int | None = None,
    chip_grid: str | tuple[int, ...] | None = None,
    batch: int | None = None,
    objective: str = "throughput",
    effort: str = "normal",
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    output: str | Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> SpaceProgram:
    """Compile a quantized ONNX file for many chips, each of which holds a box of every tensor.

    Args:
        model: A network whose inputs have spatial dimensions, [frames, channels, ...].
        target: A name, or a path to a TOML file.
        chips: How many; the grid is then the one with the least to send between them.
        chip_grid: Chips along each spatial dimension, (1, 4, 4) or "1x4x4".
        batch: Replaces the first dimension of every input; None keeps the file's own.
        objective: What each chip's mapping is chosen for: throughput, latency or energy.
        effort: How many mappings are priced: quick or normal.
        shapes: Of inputs with other open dimensions than the batch, by name.
        output: Where to write the .zap file; nothing is written for a network that does not fit.
        progress: Called with what is done, how far it is, and how far it goes.

    Raises:
        UsageError: The grid does not suit the network.
    """
    where, text = target_text(target)
    chip = parse_target(text, f"target file '{where}'")
    found = cut_over_space(
        lambda frames: import_model(Path(model), batch=frames, shapes=shapes),
        Path(model).stem,
        chip,
        text,
        chips=chips,
        chip_grid=chip_grid,
        batch=batch,
        objective=objective,
        effort=effort,
        progress=progress,
    )
    if output is not None and found.fits:
        return save_space(found, Path(output))
    return found


def cut_over_space(
    read: Callable[[int | None], Imported],
    name: str,
    chip: Target,
    text: str,
    *,
    chips: int | None = None,
    chip_grid: str | tuple[int, ...] | None = None,
    batch: int | None = None,
    objective: str = "throughput",
    effort: str = "normal",
    progress: Progress = lambda what, done, total: None,
) -> SpaceProgram:
    """Compile what `read` imports over space, as `compile_network` does over layers."""
    check_options(batch, chips, None, objective, effort)
    if effort == "thorough":
        raise UsageError("--effort must be quick or normal with --split space, not thorough")
    imported = read(batch)
    graph = replace(imported.graph, name=name)
    cut = _grid(graph, chips, chip_grid)
    options = Options(batch or frames_of(graph), cut.cards, objective, effort)
    origin = Origin(imported.origin.file, imported.origin.sha256, imported.origin.notes)
    return build_space(graph, origin, chip, text, options, cut, progress)


def _grid(graph: Graph, chips: int | None, grid: str | tuple[int, ...] | None) -> Grid:
    """The grid that was asked for, or the one that suits so many chips."""
    if grid is None:
        if chips is None:
            raise UsageError("--split space must have --chips N or --chip-grid 1x4x4")
        return suited_grid(graph, chips)
    found = parse_grid(grid) if isinstance(grid, str) else Grid(tuple(grid))
    if chips not in (None, found.cards):
        raise UsageError(f"--chips must be {found.cards} with --chip-grid {found}, not {chips}")
    return found


def _refine(effort: str) -> Refine:
    """What is done to a chip's Program: nothing, or cuts that its schedule prefers."""
    if effort != "thorough":
        return lambda program, progress: program
    from zapdeploy.sim.search import improved

    return improved


def _check_parts(
    parts: Parts,
    chips: int | None,
    micro_batch: int | None,
    state: Mapping[str, str] | None,
    output: str | Path | None,
) -> None:
    number = len(parts.files)
    if chips not in (None, number):
        raise UsageError(f"--chips must be {number}, one for each part, not {chips}")
    if micro_batch not in (None, parts.batch):
        raise UsageError(
            f"--micro-batch must be left out for a network in parts, not {micro_batch}"
        )
    if state:
        raise UsageError("--state must be in the metadata of each file for a network in parts")
    if output is None:
        raise UsageError("output must be given for a network in parts: it is written bit by bit")


def _splits(batch: int, micro_batch: int | None) -> tuple[int, ...]:
    """Sizes of micro-batches to try, the largest first."""
    if micro_batch is None:
        return tuple(size for size in range(batch, 0, -1) if batch % size == 0)
    if batch % micro_batch:
        raise UsageError(f"--micro-batch must divide the batch of {batch}, not be {micro_batch}")
    return (micro_batch,)


def _best_split(
    build: Callable[[int, int | None], Pipeline],
    sizes: tuple[int, ...],
    chips: int | None,
    objective: str,
) -> Pipeline:
    """The pipeline of the best parts of a batch.

    One chip takes whole batches; several take the largest part that fits, as that shares a layer's
    fill among most frames. For latency, ever smaller parts as long as each is faster.
    """
    best = build(sizes[0], chips)
    for size in sizes[1:]:
        if best.options.chips == 1 or (best.fits and objective != "latency"):
            break
        try:
            found = build(size, best.options.chips)
        except ModelError:  # the file's batch cannot be changed
            break
        if best.fits and not (found.fits and _latency_s(found) < _latency_s(best)):
            break
        best = found
    return best


def _latency_s(pipeline: Pipeline) -> float:
    return summarize(pipeline).latency_s


def simulate(
    program: Pipeline | Program | str | Path,
    *,
    frame_rate_hz: float | None = None,
    level: Level = TIMING,
) -> Result:
    """Time and price a compiled network.

    Args:
        program: A compiled network, or the .zap file of one.
        frame_rate_hz: Frames that come in each second, for energy with waiting included.
        level: "timing" schedules every unit and link, cycle by cycle; "estimate" takes the
            compiler's closed form, which is quick and knows of no waiting.

    Raises:
        DoesNotFitError: The network does not fit its chips.
        SimulationError: The schedule has a collision.
    """
    check_simulation(frame_rate_hz, level)
    loaded = load_pipeline(Path(program)) if isinstance(program, str | Path) else program
    whole = single(loaded) if isinstance(loaded, Program) else loaded
    if level == ESTIMATE:
        return summarize(whole, frame_rate_hz)
    from zapdeploy.sim.schedule import scheduled_chip

    check_fits(whole)
    return summarize(whole, frame_rate_hz, [scheduled_chip(stage) for stage in whole.stages])


def simulate_space(
    program: SpaceProgram | str | Path,
    *,
    passes: int = 1,
    frame_rate_hz: float | None = None,
    level: Level = TIMING,
) -> SpaceResult:
    """Time and price a network that is cut over space.

    Args:
        program: What `compile_space` gave, or the .zap file of it.
        passes: Passes that make a frame, such as 32 lead times.
        frame_rate_hz: Frames that come in each second, for energy with waiting included.
        level: "timing" schedules every kind of card, cycle by cycle; "estimate" takes the
            compiler's closed form.

    Raises:
        DoesNotFitError: A card's part does not fit.
        SimulationError: A schedule has a collision.
    """
    check_simulation(frame_rate_hz, level, passes)
    whole = load_space(Path(program)) if isinstance(program, str | Path) else program
    if level == ESTIMATE or not whole.fits:
        return time_space(whole, (), passes, frame_rate_hz)
    from zapdeploy.sim.schedule import scheduled_chip

    timelines = [scheduled_chip(each).timeline for each in whole.programs]
    return time_space(whole, timelines, passes, frame_rate_hz)


def load(path: str | Path) -> Pipeline:
    """Read a .zap file. Raises ProgramError when it is damaged or of another version."""
    return load_pipeline(Path(path))


@dataclass(frozen=True, repr=False)
class ModelCheck(Answer):
    """What would become of each node, and whether parameters and frames would fit.

    `to_frame()` has a row for each node; `plot()` draws how many became what.
    """

    model: str
    target: str
    decisions: tuple[Decision, ...]
    reasons: tuple[str, ...]  # of refusals, options as the command line spells them
    parameter_bytes: int
    memory_bytes: int
    violation: CapacityViolation | None
    quantized: bool = True  # the file itself; else it was judged as `quantize` would make it
    notes: tuple[str, ...] = ()  # what is read otherwise than it is written

    @property
    def accepted(self) -> bool:
        """Whether every node of the file can run."""
        return not self.reasons

    @property
    def fits(self) -> bool:
        """Whether parameters and frames have room on the target."""
        return self.violation is None

    def __repr__(self) -> str:
        verdict = "refused" if self.reasons else "fits" if self.fits else "does not fit"
        return f"<ModelCheck of {self.model} for {self.target}: {verdict}>"

    def records(self) -> list[dict[str, Any]]:
        """The nodes of the file, in its order."""
        return [{**vars(d), "outcome": d.outcome.value} for d in self.decisions]

    def tables(self) -> tuple[Table, ...]:
        """What becomes of each node, and why."""
        columns = ("node", "operator", "becomes", "weight bits", "activation bits")
        rows = [
            (
                *(d.node, d.op, d.outcome.value),
                *("" if b is None else str(b) for b in (d.weight_bits, d.activation_bits)),
                d.reason or d.into,
            )
            for d in self.decisions
        ]
        title = f"{self.model} for {self.target}"
        return (Table(title, (*columns, "into, or why not"), rows),)

    def _figure(self, graph_objects: Any) -> Any:
        counted = Counter(d.outcome.value for d in self.decisions)
        figure = graph_objects.Figure(graph_objects.Bar(x=list(counted), y=list(counted.values())))
        title = f"{self.model} for {self.target}: what becomes of its nodes"
        figure.update_layout(title=title, yaxis_title="nodes", template="plotly_white")
        return figure

    def as_json(self) -> dict[str, Any]:
        """The JSON document of `check`."""
        nodes = self.records()
        rest = {k: v for k, v in vars(self).items() if k not in ("decisions", "violation")}
        violation = None if self.violation is None else asdict(self.violation)
        judged = {"accepted": self.accepted, "fits": self.fits, "unfit": violation}
        return {**rest, **judged, "nodes": nodes}


def check_model(
    model: str | Path,
    target: str | Path = "northpole-sim",
    *,
    batch: int | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    constants: Mapping[str, float] | None = None,
) -> ModelCheck:
    """Judge a model without mapping it. Raises ZapdeployError when the file cannot be read.

    A float file is judged as `quantize` would make it at 8 bits; `constants` are inputs that it
    would be given as such.
    """
    check_options(batch, None, None, "throughput", "normal")
    chip = load_target(target)
    given = InputShapes(batch, shapes or {}, constants or {})
    judged = checking.check_model(Path(model), shapes=given)
    found = ModelCheck(Path(model).stem, chip.name, (), (), 0, 0, None)
    if judged.needs_quantizing:
        judged = _as_quantized(Path(model), given)
        found = replace(found, quantized=False)
    memory = chip.cores * int(chip.core.memory)
    found = replace(found, decisions=judged.decisions, notes=judged.notes, memory_bytes=memory)
    if judged.imported is None:
        return replace(found, reasons=(judged.refusal,))
    graph = judged.imported.graph
    layers = group_layers(graph)
    try:
        check_widths(layers, chip)
    except ModelError as error:
        return replace(found, reasons=(error.on_command_line,))
    return replace(
        found,
        parameter_bytes=parameters_and_programs(layers, chip),
        violation=chip_violation(layers, chip) or framebuffer_violation(graph, layers, chip),
    )


def _as_quantized(path: Path, shapes: InputShapes) -> checking.Check:
    """What the compiler would say of the file that `quantize` would write."""
    from zapdeploy.quantize.onnx_file import preview

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        try:
            notes = preview(path, made, shapes)
        except ModelError as error:
            return checking.Check((), None, error.on_command_line)
        judged = checking.check_model(made, shapes=InputShapes(shapes.batch))
        return replace(judged.without_quantizers(), notes=(*notes, *judged.notes))
