"""Inputs through a compiled network, to the bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zapdeploy.arrays import ONLY, Array, load_arrays
from zapdeploy.commands.on_host import WholeInputs, host_network
from zapdeploy.compile.multichip.pipeline import Pipeline
from zapdeploy.compile.space.program import SpaceProgram
from zapdeploy.compile.space.space_file import load_program
from zapdeploy.compile.space.turns_program import TurnsProgram
from zapdeploy.errors import DoesNotFitError
from zapdeploy.progress import StepProgress
from zapdeploy.sim.batches import in_batches, joined
from zapdeploy.sim.core_array import core_by_core
from zapdeploy.sim.results import check_fits
from zapdeploy.sim.space.agreement import run_space
from zapdeploy.sim.space.turns import run_turns
from zapdeploy.sim.staged import run_pipeline, whole
from zapdeploy.tables import Answer, Table, table_of

Inputs = Mapping[str, Array] | Array | str | Path


class Outputs(dict[str, Array], Answer):
    """A network's outputs by name: a dict of arrays that also shows what they hold."""

    def __repr__(self) -> str:
        held = ", ".join(f"{name} {list(a.shape)} {a.dtype}" for name, a in self.items())
        return f"<Outputs {held}>"

    def records(self) -> list[dict[str, Any]]:
        """A row for each output: its shape and type, and what its values are like."""
        return [
            {
                "name": name,
                "shape": " x ".join(map(str, array.shape)),
                "type": str(array.dtype),
                "least": array.min().item(),
                "mean": float(array.mean()),
                "greatest": array.max().item(),
            }
            for name, array in self.items()
        ]

    def tables(self) -> tuple[Table, ...]:
        """The same rows for people."""
        shown = [
            {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()}
            for row in self.records()
        ]
        return (table_of("outputs", shown),)

    def _figure(self, graph_objects: Any) -> Any:
        """How the values of each output are spread."""
        figure = graph_objects.Figure()
        for name, array in self.items():
            heights, edges = np.histogram(array, bins=100)
            middles = (edges[:-1] + edges[1:]) / 2
            figure.add_scatter(x=middles, y=heights, name=name, line_shape="hvh")
        figure.update_layout(xaxis_title="value", yaxis_title="elements", template="plotly_white")
        return figure


def run(
    program: Pipeline | SpaceProgram | TurnsProgram | str | Path,
    inputs: Inputs,
    *,
    core_by_core_values: bool = True,
    progress: StepProgress = lambda done, total: None,
) -> Outputs:
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
    if isinstance(loaded, SpaceProgram | TurnsProgram):
        return Outputs(_run_space(loaded, inputs, progress, core_by_core_values))
    check_fits(loaded)
    given = WholeInputs.of(host_network(loaded), _arrays(inputs))
    batches = in_batches(loaded.interface, given.for_chip)
    found = run_batches(loaded, batches, progress, core_by_core_values=core_by_core_values)
    return Outputs(given.outputs(found))


def _run_space(
    program: SpaceProgram | TurnsProgram,
    inputs: Inputs,
    progress: StepProgress,
    core_by_core_values: bool,
) -> dict[str, Array]:
    if isinstance(program, SpaceProgram) and not program.fits:
        raise DoesNotFitError(program.why_not)
    found = []
    batches = in_batches(program.graph, _arrays(inputs))
    for done, batch in enumerate(batches):
        if isinstance(program, TurnsProgram):
            found.append(run_turns(program, batch, core_by_core_values=core_by_core_values))
        else:
            found.append(run_space(program, batch, core_by_core_values=core_by_core_values))
        progress(done + 1, len(batches))
    return joined(found)


def run_batches(
    program: Pipeline,
    batches: Sequence[Mapping[str, Array]],
    progress: StepProgress = lambda done, total: None,
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
