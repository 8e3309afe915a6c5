"""Mixed precision with the compiler's own costs: sensitivity meets energy and latency.

Costs of a layer at some bits are read from a compiled file that has it so. They depend a little on
the neighbours' bits and cuts; so the chosen network is compiled, its costs go into the table, and
the program is solved again until it chooses what was compiled before: then what it predicts is what
the compiler reports.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.errors import UsageError
from zapdeploy.files import atomic_write
from zapdeploy.quantize.mixed import (
    Budget,
    Choice,
    Option,
    Quantity,
    Table,
    choice_of,
    choose,
    pareto_front,
)
from zapdeploy.quantize.recipes import BitChoice, ModuleRecipe

if TYPE_CHECKING:
    from zapdeploy.quantize.modules.build import Prepared, Quantized

Progress = Callable[[str, int, int], None]
ROUNDS = 8
BITS = (BitChoice(8, 8), BitChoice(4, 8), BitChoice(4, 4), BitChoice(2, 4))


@dataclass(frozen=True)
class Costs:
    """A compiled file: joules and seconds per frame by matrix layer, and over all of the network.

    A layer's include those of what stands between the matrix layer before and itself: the
    quantizer that narrows what it reads, above all.
    """

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


def compiled_costs(path: Path, target: str) -> Costs:
    """Compile a file and read what each layer costs. Raises UsageError when it does not fit.

    Where the host link sets the pace, static power is spent however soon a layer is done: it is
    then counted with the network, not with its layers.
    """
    from zapdeploy.api import compile_model, simulate

    program = compile_model(path, target, batch=1, chips=1)
    if not program.fits:
        what = program.unfit
        raise UsageError(
            f"network must fit {target}, not demand {what.demanded if what else '?'} of "
            f"{what.limit if what else '?'} ({what.what if what else ''}); choose a larger target"
        )
    result = simulate(program)
    found = result.as_json()
    waits = result.limiter == "host link"
    static_w = result.energy_parts["static"].value * result.throughput_fps if waits else 0.0
    layers: dict[str, tuple[float, float]] = {}
    energy = seconds = 0.0
    for row in found["layers"]:
        own = row["cycles"] / found["clock_hz"]
        energy += row["energy_j"] - static_w * own
        seconds += own
        if row["macs"]:
            layers[row["name"]] = (energy, seconds)
            energy = seconds = 0.0
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

    noise, base = measure(prepared, recipe, options, samples=samples, progress=progress)
    uniforms = {}
    for index, bits in enumerate(options):
        uniforms[bits] = _costs(prepared, recipe, dict.fromkeys(prepared.layers, bits), target)
        progress("compile", index + 1, len(options))
    costs = {name: {b: _layer_cost(uniforms[b], name) for b in options} for name in noise}
    compiled = uniforms[options[0]]
    table = _table(noise, base, costs, compiled)
    tried = [(choice_of(table, dict.fromkeys(prepared.layers, options[0])), compiled)]
    for index in range(ROUNDS):
        bits_of = choose(_table(noise, base, costs, compiled), objective, budgets).bits
        if any(choice.bits == bits_of for choice, _ in tried):
            break
        compiled = _costs(prepared, recipe, bits_of, target)
        for name, bits in bits_of.items():
            costs[name][bits] = _layer_cost(compiled, name)
        table = _table(noise, base, costs, compiled)
        tried.append((choice_of(table, bits_of), compiled))
        progress("choose", index + 1, ROUNDS)
    choice, compiled = _best(tried, objective, budgets)
    return MixedResult(
        choice,
        compiled,
        uniforms[options[0]],
        base,
        pareto_front(
            _table(noise, base, costs, compiled),
            "energy_j" if objective == "damage" else objective,
        ),
        build(prepared, recipe, choice.bits, progress=progress),
        len(tried),
    )


def _best(
    tried: Sequence[tuple[Choice, Costs]], objective: Quantity, budgets: Sequence[Budget]
) -> tuple[Choice, Costs]:
    """The best of the compiled choices that meets the budgets at its compiled cost."""
    within = [
        (choice, costs)
        for choice, costs in tried
        if all(getattr(choice, b.quantity) <= b.limit * (1 + 1e-9) for b in budgets)
    ]
    if not within:
        nearest = tried[-1][0]
        raise UsageError(
            "budget must be one that a compiled network meets, not "
            f"{', '.join(f'{b.quantity} {b.limit:.3g}' for b in budgets)}: the nearest has "
            f"{nearest.energy_j:.3g} J, {nearest.latency_s:.3g} s and {nearest.snr_db:.1f} dB; "
            "raise it a little"
        )
    return min(within, key=lambda pair: getattr(pair[0], objective))


def _costs(
    prepared: Prepared, recipe: ModuleRecipe, bits: Mapping[str, BitChoice], target: str
) -> Costs:
    """What compile reports for the module at these bits."""
    from zapdeploy.quantize.modules.build import assemble
    from zapdeploy.quantize.modules.export import export_file

    quantized = assemble(prepared, recipe, bits)
    example = tuple(values[:1] for values in prepared.samples)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mixed.onnx")
        export_file(quantized.graph, example, path)
        return compiled_costs(path, target)


def _layer_cost(costs: Costs, name: str) -> tuple[float, float]:
    """The costs of a layer; the front end numbers the nodes that a Gemm becomes."""
    for written in (name, f"{name}_1"):
        if written in costs.layers:
            return costs.layers[written]
    raise UsageError(
        f"layers must be compiled under their own names, not without {name!r}; "
        "its product is merged with another one's"
    )


def _table(
    noise: Mapping[str, Mapping[BitChoice, float]],
    base: float,
    costs: Mapping[str, Mapping[BitChoice, tuple[float, float]]],
    compiled: Costs,
) -> Table:
    """Options of every layer; what the compiled network costs beside its layers is the rest."""
    layers = {
        name: tuple(Option(bits, noise[name][bits], *costs[name][bits]) for bits in found)
        for name, found in noise.items()
    }
    in_layers = [_layer_cost(compiled, name) for name in layers]
    return Table(
        layers,
        rest_energy_j=compiled.energy_j - sum(energy for energy, _ in in_layers),
        rest_latency_s=compiled.latency_s - sum(latency for _, latency in in_layers),
        rest_damage=base,
    )


def draw_front(result: MixedResult, path: Path) -> bool:
    """The Pareto front as an HTML page: signal-to-noise ratio over energy per frame.

    Returns whether it was drawn: not without Plotly.
    """
    try:
        import plotly.graph_objects as go
    except ImportError:
        return False

    front = result.front
    figure = go.Figure(
        [
            go.Scatter(
                x=[c.energy_j for c in front],
                y=[c.snr_db for c in front],
                mode="lines+markers",
                name="mixed (modelled energy, noise measured by layer)",
            ),
            go.Scatter(x=[result.choice.energy_j], y=[result.choice.snr_db], name="chosen"),
        ]
    )
    figure.update_layout(
        xaxis_title="energy per frame, J (modelled)", yaxis_title="output SNR, dB (predicted)"
    )
    with atomic_write(path) as file:
        file.write(figure.to_html(include_plotlyjs=True).encode())
    return True
