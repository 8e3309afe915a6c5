"""Core by core against the whole graph: every element of the outputs, in every bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from zapdeploy.compile.graph import Array
from zapdeploy.compile.multichip.pipeline import Pipeline
from zapdeploy.compile.program.layer import lower
from zapdeploy.compile.program.program import Program
from zapdeploy.documents import Document
from zapdeploy.progress import StepProgress
from zapdeploy.sim.core_array.run import CoreArray
from zapdeploy.sim.frames import Run
from zapdeploy.sim.staged import run_pipeline


@dataclass(frozen=True)
class Agreement(Document):
    """Elements of all outputs, and how many of them are equal."""

    elements: int
    equal: int

    @property
    def passed(self) -> bool:
        return self.equal == self.elements


def core_by_core(program: Program) -> Run:
    """One chip's Program as a function of its inputs."""
    return CoreArray(lower(program)).run


def agreement(
    pipeline: Pipeline,
    inputs: Mapping[str, Array],
    progress: StepProgress = lambda done, total: None,
) -> Agreement:
    """Run a micro-batch core by core and whole, and compare the outputs."""
    (found,) = run_pipeline(pipeline, [inputs], progress, core_by_core)
    (expected,) = run_pipeline(pipeline, [inputs])
    return compared(found, expected)


def compared(found: Mapping[str, Array], expected: Mapping[str, Array]) -> Agreement:
    """Outputs by name, element by element."""
    pairs = [(found[name], array) for name, array in expected.items()]
    equal = sum(int(np.count_nonzero(_same_bits(a, b))) for a, b in pairs)
    return Agreement(sum(array.size for _, array in pairs), equal)


def _same_bits(a: Array, b: Array) -> Array:
    """Element by element; two NaN of the same bits are equal, 0 and -0 are not."""
    bits = np.dtype(f"uint{8 * a.itemsize}")
    return np.equal(*(np.ascontiguousarray(array).reshape(-1).view(bits) for array in (a, b)))
