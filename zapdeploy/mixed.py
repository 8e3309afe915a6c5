"""Mixed precision with the compiler's own costs: sensitivity meets energy and latency.

Costs of a layer at some bits are read from a compiled file that has it so. They depend a little on
the neighbours' bits and cuts; so the chosen network is compiled, its costs go into the table, and
the program is solved again until it chooses what was last compiled: then what it predicts is what
the compiler reports.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.errors import UsageError
from zapdeploy.files import atomic_write
from zapdeploy.quantize.mixed import Budget, Choice, Option, Quantity, Table, choose, pareto_front
from zapdeploy.quantize.recipes import BitChoice, ModuleRecipe

if TYPE_CHECKING:
    from zapdeploy.quantize.modules.build import Prepared, Quantized

Progress = Callable[[str, int, int], None]
ROUNDS = 8
BITS = (BitChoice(8, 8), BitChoice(4, 8), BitChoice(4, 4), BitChoice(2, 4))


@dataclass(frozen=True)
class Costs:
    """A compiled file: joules and seconds per frame by layer, and over all of the network."""

    layers: Mapping[str, tuple[float, float]]
    energy_j: float
    latency_s: float


@dataclass(frozen=True, eq=False)
class MixedResult:
    """The choice, what compile reports for it, uniform int8 beside it, and the Pareto front."""

    choice: Choice
    compiled: Costs
    uniform: Costs
    uniform_damage: float
    front: tuple[Choice, ...]
    quantized: Quantized
    rounds: int

    def as_json(self) -> dict[str, Any]:
        """Numbers per frame; energy is modelled, latency simulated, noise measured by layer."""
        return {
            "energy_j": {"predicted": self.choice.energy_j, "compiled": self.compiled.energy_j},
            "latency_s": {"predicted": self.choice.latency_s, "compiled": self.compiled.latency_s},
            "snr_db": self.choice.snr_db,
            "uniform_int8": {
                "energy_j": self.uniform.energy_j,
                "latency_s": self.uniform.latency_s,
                "noise": self.uniform_damage,
            },
            "rounds": self.rounds,
            "bits": {name: asdict(bits) for name, bits in self.choice.bits.items()},
            "front": [
                {"energy_j": c.energy_j, "latency_s": c.latency_s, "snr_db": c.snr_db}
                for c in self.front
            ],
        }


def compiled_costs(path: Path, target: str, batch: int = 1) -> Costs:
    """Compile a file and read what each layer costs. Raises UsageError when it does not fit."""
    from zapdeploy.api import compile_model, simulate

    program = compile_model(path, target, batch=batch)
    if not program.fits:
        what = program.unfit
        raise UsageError(
            f"network must fit {target}, not demand {what.demanded if what else '?'} of "
            f"{what.limit if what else '?'} ({what.what if what else ''}); choose a larger target"
        )
    found = simulate(program).as_json()
    layers = {
        row["name"]: (row["energy_j"] / batch, row["cycles"] / found["clock_hz"] / batch)
        for row in found["layers"]
    }
    return Costs(layers, found["energy_per_frame_j"]["value"], found["latency_s"])


def quantize_mixed(
    prepared: Prepared,
    recipe: ModuleRecipe,
    budgets: Sequence[Budget],
    *,
    objective: Quantity = "energy_j",
    target: str = "northpole-sim",
    options: Sequence[BitChoice] = BITS,
    samples: int = 16,
    progress: Progress = lambda what, done, total: None,
) -> MixedResult:
    """Choose bits per layer of a prepared module, and quantize it so.

    objective: what to have the least of within the budgets. recipe: rounding, calibration and the
    like; its bits are replaced. Raises UsageError when no choice meets the budgets.
    """
    from zapdeploy.quantize.modules.build import build
    from zapdeploy.quantize.modules.sensitivity import measure

    noise, base = measure(prepared, options, samples=samples, progress=progress)
    uniforms = {}
    for index, bits in enumerate(options):
        uniforms[bits] = _costs(prepared, recipe, dict.fromkeys(prepared.layers, bits), target)
        progress("compile", index + 1, len(options))
    costs = {name: {b: _layer_cost(uniforms[b], name) for b in options} for name in noise}
    compiled, known = uniforms[options[0]], {}
    choice = None
    for round_number in range(1, ROUNDS + 1):
        table = _table(noise, base, costs, compiled)
        choice = choose(table, objective, budgets)
        key = tuple(sorted((name, bits) for name, bits in choice.bits.items()) and
                    (name, bits.weights, bits.activations) for name, bits in choice.bits.items())
        if key in known:
            break
        compiled = known[key] = _costs(prepared, recipe, choice.bits, target)
        for name, bits in choice.bits.items():
            costs[name][bits] = _layer_cost(compiled, name)
        progress("choose", round_number, ROUNDS)
    assert choice is not None
    quantized = build(prepared, recipe, choice.bits, progress=progress)
    front = pareto_front(table, "energy_j" if objective == "damage" else objective)
    return MixedResult(
        choice, compiled, uniforms[options[0]], base, front, quantized, round_number
    )
