"""Inputs through a compiled network, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import ONLY, load_arrays
from zapdeploy.compile.multichip.pipeline import Pipeline
from zapdeploy.compile.space.program import SpaceProgram
from zapdeploy.compile.space.space_file import load_program
from zapdeploy.errors import DoesNotFitError
from zapdeploy.sim.batches import in_batches, joined
from zapdeploy.sim.core_array import core_by_core
from zapdeploy.sim.results import check_fits
from zapdeploy.sim.space.agreement import run_space
from zapdeploy.sim.staged import run_pipeline, whole

Array = NDArray[Any]
Inputs = Mapping[str, Array] | Array | str | Path


def run(
    program: Pipeline | SpaceProgram | str | Path,
    inputs: Inputs,
    *,
    core_by_core_values: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Array]:
    """Run a compiled network on inputs and return its outputs by name.

    Args:
        program: A compiled network, or the .zap file of one.
        inputs: Arrays by the network's input names, a single array for a network with one input,
            or an .npz or .npy file. The first dimension may hold several batches; they run one
            after the other, and state goes from one to the next.
        core_by_core_values: Compute every core's share from its own memory, as the chip does;
            otherwise the graph is evaluated whole, which is faster and gives the same integers.
        progress: Called with micro-batches done and their number.

    Returns:
        Outputs by name, batches one after the other along the first dimension.

    Raises:
        DoesNotFitError: The network does not fit its chips.
        DataError: The arrays are not what the network takes.
    """
    loaded = load_program(Path(program)) if isinstance(program, str | Path) else program
    if isinstance(loaded, SpaceProgram):
        return _run_space(loaded, inputs, progress, core_by_core_values)
    check_fits(loaded)
    batches = in_batches(loaded.interface, _arrays(inputs))
    return run_batches(loaded, batches, progress, core_by_core_values=core_by_core_values)


def _run_space(
    program: SpaceProgram,
    inputs: Inputs,
    progress: Callable[[int, int], None],
    core_by_core_values: bool,
) -> dict[str, Array]:
    if not program.fits:
        raise DoesNotFitError(program.why_not)
    found = []
    batches = in_batches(program.graph, _arrays(inputs))
    for done, batch in enumerate(batches):
        found.append(run_space(program, batch, core_by_core_values=core_by_core_values))
        progress(done + 1, len(batches))
    return joined(found)


def run_batches(
    program: Pipeline,
    batches: Sequence[Mapping[str, Array]],
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    core_by_core_values: bool = True,
) -> dict[str, Array]:
    """The outputs for batches of inputs, one after the other along the first dimension."""
    runner = core_by_core if core_by_core_values else whole
    return joined(run_pipeline(program, batches, progress, runner))


def _arrays(inputs: Inputs) -> Mapping[str, Array]:
    if isinstance(inputs, str | Path):
        return load_arrays(Path(inputs))
    return inputs if isinstance(inputs, Mapping) else {ONLY: np.asarray(inputs)}
