"""A pipeline in a .zap file: a section for each stage, and a header that holds them together.

A network on one chip is a pipeline of one stage, in its file too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from zapdeploy.compile.graph import Value
from zapdeploy.compile.mapping.memory import CapacityViolation
from zapdeploy.compile.multichip.pipeline import Link, Pipeline
from zapdeploy.compile.program.graph_document import element_of, shape_of
from zapdeploy.compile.program.program import Options, Origin, Program
from zapdeploy.compile.program.section import WRONG
from zapdeploy.compile.program.zap_file import Writer, ZapFile, file_digest, open_zap
from zapdeploy.errors import ProgramError, ZapdeployError
from zapdeploy.files import atomic_write
from zapdeploy.hardware_targets import parse_target

KIND = "pipeline"


def save_pipeline(pipeline: Pipeline, path: Path) -> Pipeline:
    """Write the file whole or not at all; the pipeline as it is in the file."""
    with atomic_write(path) as file:
        writer = Writer(file)
        digests = [writer.add(program) for program in pipeline.stages]
        digest = writer.end(described(pipeline))
    if len(digests) > 1:
        return load_pipeline(path)
    return replace(
        pipeline, stages=(replace(pipeline.stages[0], digest=digests[0]),), digest=digest
    )


def pipeline_digest(pipeline: Pipeline) -> str:
    """The digest that the file would have."""
    return file_digest(described(pipeline), pipeline.stages)


def load_pipeline(path: Path) -> Pipeline:
    """Read a file. Raises ProgramError when it is not as it was written.

    Of several stages, one that is damaged is found when it is read.
    """
    return pipeline_in(open_zap(path))


def described(pipeline: Pipeline) -> dict[str, Any]:
    """What the header says of a pipeline. The pipeline's own `stages` are not looked at."""
    return {
        "kind": KIND,
        "model": pipeline.model,
        "version": pipeline.version,
        "target": pipeline.target_toml,
        "options": asdict(pipeline.options),
        "micro_batch": pipeline.micro_batch,
        "inputs": [_document(value) for value in pipeline.inputs],
        "outputs": [_document(value) for value in pipeline.outputs],
        "state": [list(pair) for pair in pipeline.state],
        "origins": [asdict(origin) for origin in pipeline.origins],
        "links": [asdict(link) for link in pipeline.links],
        "violation": None if pipeline.violation is None else asdict(pipeline.violation),
    }


def pipeline_in(file: ZapFile) -> Pipeline:
    """The pipeline in a file. Raises ProgramError for a file of another kind."""
    if file.header.get("kind") in ("space", "turns"):
        raise ProgramError(
            f"program '{file.path}' must be of one chip or of stages for this, not cut over space; "
            "compile it without --split"
        )
    try:
        return _decode(file)
    except ZapdeployError:
        raise
    except WRONG as error:
        raise file.incomplete(error) from None


def _decode(file: ZapFile) -> Pipeline:
    stages = _stages(file)  # first: whether the bytes are those that were written is soon known
    return Pipeline(
        model=file.read(str, "model"),
        target=parse_target(file.read(str, "target"), "target in the program"),
        target_toml=file.read(str, "target"),
        options=file.read(Options, "options"),
        micro_batch=file.read(int, "micro_batch"),
        inputs=tuple(map(_value, file.header["inputs"])),
        outputs=tuple(map(_value, file.header["outputs"])),
        state=file.read(tuple[tuple[str, str], ...], "state"),
        origins=file.read(tuple[Origin, ...], "origins"),
        stages=stages,
        links=file.read(tuple[Link, ...], "links"),
        violation=file.read(CapacityViolation | None, "violation"),
        version=file.read(str, "version"),
        digest=file.digest,
    )


def _stages(file: ZapFile) -> Sequence[Program]:
    """A single stage is read at once, and kept; of several, each when it is asked for."""
    return tuple(file.programs) if len(file.programs) == 1 else file.programs


def _document(value: Value) -> list[Any]:
    return [value.name, list(value.shape), [value.element.kind, value.element.bits]]


def _value(item: list[Any]) -> Value:
    name, shape, element = item
    return Value(str(name), shape_of(shape), element_of(*element))
