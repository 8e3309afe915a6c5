"""A network in parts: a folder of ONNX files, in the order of their names, a chip for each.

For networks that are too large to be held whole: a part is read, compiled, written to the program's
file and forgotten before the next is looked at. Tensors go from part to part by name.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zapdeploy.compile.frames import frames_of
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Value
from zapdeploy.compile.multichip.pipeline import Border, Pipeline, border_of, links_between, single
from zapdeploy.compile.multichip.pipeline_file import described, load_pipeline
from zapdeploy.compile.program.build import build_program
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.compile.program.zap_file import Writer
from zapdeploy.errors import ModelError, UsageError
from zapdeploy.files import atomic_write
from zapdeploy.hardware_targets import Target
from zapdeploy.progress import Progress

Refine = Callable[[Program, Progress], Program]


@dataclass(frozen=True)
class Parts:
    """The files of a network in parts, and what is asked for. `batch` None: the files' own."""

    folder: Path
    files: tuple[Path, ...]
    target: Target
    target_toml: str
    batch: int | None
    objective: str
    effort: str = "normal"
    refine: Refine = lambda program, progress: program  # what is done to a part that fits


def part_files(folder: Path) -> tuple[Path, ...]:
    """The ONNX files of a folder, in the order of their names."""
    found = tuple(sorted(folder.glob("*.onnx")))
    if not found:
        raise UsageError(f"folder '{folder}' must hold a network in parts, as .onnx files")
    return found


class _DoesNotFitError(Exception):
    """Ends the writing of a file that nobody will need."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline


def compile_parts(parts: Parts, output: Path, progress: Progress) -> Pipeline:
    """Compile one part after the other into the file; the pipeline in it.

    When a part does not fit, the pipeline's `violation` says so, and there is no file. Raises
    ModelError when the parts do not go together.
    """
    try:
        with atomic_write(output) as file:
            writer, borders, stages = Writer(file), list[Border](), list[Pipeline]()
            for index, path in enumerate(parts.files):
                progress("compiling parts", index, len(parts.files))
                program = _compile_part(parts, path, borders, progress)
                writer.add(program)
                stages.append(replace(single(program), stages=()))  # what is left is small
                del program
                gc.collect()  # an ONNX graph's nodes and values refer to each other
            writer.end(described(_joined(parts, stages, borders)))
    except _DoesNotFitError as found:
        return _named(parts, found.pipeline)
    return load_pipeline(output)


def _compile_part(parts: Parts, path: Path, borders: list[Border], progress: Progress) -> Program:
    """Compile one part; its border joins the others, once they go together."""
    imported = import_model(path, batch=parts.batch)
    graph = replace(imported.graph, name=path.stem)
    borders.append(border_of(graph, parts.target))
    _network_inputs(borders)
    options = Options(parts.batch or frames_of(graph), 1, parts.objective, parts.effort)
    found = imported.origin
    origin = Origin(found.file, found.sha256, found.notes)
    program = build_program(graph, origin, parts.target, parts.target_toml, options, progress)
    if not program.fits:
        raise _DoesNotFitError(single(program))
    return parts.refine(program, progress)


def _named(parts: Parts, pipeline: Pipeline) -> Pipeline:
    options = replace(pipeline.options, chips=len(parts.files))
    return replace(pipeline, model=parts.folder.name, options=options)


def _joined(parts: Parts, stages: Sequence[Pipeline], borders: Sequence[Border]) -> Pipeline:
    """The network of all parts, its stages left out."""
    read = {value.name for border in borders for value in border.inputs}
    return replace(
        _named(parts, stages[0]),
        inputs=_network_inputs(borders),
        outputs=tuple(value for name, (_, value) in _made(borders).items() if name not in read),
        state=tuple(pair for border in borders for pair in border.state),
        origins=tuple(stage.origin for stage in stages),
        links=links_between(borders),
    )


def _network_inputs(borders: Sequence[Border]) -> tuple[Value, ...]:
    """What no part makes; ModelError unless the parts go together."""
    made = _made(borders)
    taken: dict[str, Value] = {}
    for index, border in enumerate(borders):
        for value in border.inputs:
            source, there = made.get(value.name, (-1, taken.get(value.name, value)))
            _check(value, there, index, source)
            if source < 0:
                taken[value.name] = value
    return tuple(taken.values())


def _made(borders: Sequence[Border]) -> dict[str, tuple[int, Value]]:
    """Every part's outputs, and which part makes each."""
    made: dict[str, tuple[int, Value]] = {}
    for index, border in enumerate(borders):
        for value in border.outputs:
            if value.name in made:
                raise ModelError(
                    f"output '{value.name}' must be made by one part, not by part "
                    f"{made[value.name][0] + 1} and part {index + 1}; rename one"
                )
            made[value.name] = (index, value)
    return made


def _check(value: Value, there: Value, index: int, source: int) -> None:
    """A part's input against what is there for it."""
    if source >= index:
        raise ModelError(
            f"input '{value.name}' of part {index + 1} must be made by a part before it, not by "
            f"part {source + 1}; name the files in order"
        )
    if (value.shape, value.element) != (there.shape, there.element):
        raise ModelError(
            f"input '{value.name}' of part {index + 1} must be {_form(there)}, as it is made or "
            f"read before, not {_form(value)}"
        )


def _form(value: Value) -> str:
    return f"{value.element.name} {list(value.shape)}"
