"""Mixed precision with the costs of a chip: sensitivity meets energy and latency.

Costs of a layer at some bits are read from a file that has it so, by a function that is given. They
depend a little on the neighbours' bits and cuts; so the chosen network is compiled, its costs go
into the table, and the program is solved again until it chooses what was compiled before: then what
it predicts is what the compiler reports. What layers add together is not quite the sum of what each
adds alone; so the chosen network is rounded and its noise measured, and the program solved again
with what it showed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.errors import UsageError
from zapdeploy.files import atomic_write
from zapdeploy.progress import Progress
from zapdeploy.quantize.mixed import (
    Budget,
    Choice,
    Option,
    Quantity,
    Table,
    choice_of,
    choose,
    pareto_front,
    snr_db,
)
from zapdeploy.quantize.recipes import BitChoice, ModuleRecipe

if TYPE_CHECKING:
    from zapdeploy.quantize.modules.build import Prepared, Quantized

ROUNDS = 8  # of choosing and compiling
TRIALS = 5  # of rounding and measuring whole networks
LEAST_TOGETHER = 0.1  # of the sum of single layers' noises
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


CostsOf = Callable[[Path], Costs]  # of an exported file; raises UsageError where it does not fit


@dataclass(frozen=True, eq=False)
class MixedResult:
    """The choice, what compile reports for it, uniform int8 beside it, and the Pareto front.

    Noise is a share of the output's power, measured on samples that no rounding saw: `noise` the
    chosen network's, `widest_noise` that of 8 bits everywhere by the same recipe.
    """

    choice: Choice
    compiled: Costs
    noise: float
    uniform: Costs
    widest_noise: float
    front: tuple[Choice, ...]
    quantized: Quantized
    rounds: int

    def as_json(self) -> dict[str, Any]:
        """Numbers per frame; energy is modelled, latency simulated, noise measured."""
        return {
            "energy_j": {"predicted": self.choice.energy_j, "compiled": self.compiled.energy_j},
            "latency_s": {"predicted": self.choice.latency_s, "compiled": self.compiled.latency_s},
            "snr_db": snr_db(self.noise),
            "predicted_snr_db": self.choice.snr_db,
            "uniform_int8": {
                "energy_j": self.uniform.energy_j,
                "latency_s": self.uniform.latency_s,
                "noise": self.widest_noise,
            },
            "rounds": self.rounds,
            "bits": {name: asdict(bits) for name, bits in self.choice.bits.items()},
            "front": [
                {"energy_j": c.energy_j, "latency_s": c.latency_s, "snr_db": c.snr_db}
                for c in self.front
            ],
        }


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody sees."""


def quantize_mixed(
    prepared: Prepared,
    recipe: ModuleRecipe,
    budgets: Sequence[Budget],
    costs_of: CostsOf,
    *,
    objective: Quantity = "energy_j",
    options: Sequence[BitChoice] = BITS,
    samples: int = 16,
    progress: Progress = silent,
) -> MixedResult:
    """Choose bits per layer of a prepared module, and quantize it so.

    objective: what to have the least of within the budgets. The rest is as for `MixedSearch`.
    Raises UsageError when no choice meets the budgets.
    """
    search = MixedSearch(prepared, recipe, costs_of, options, samples, progress)
    return search.quantize(budgets, objective)


@dataclass(frozen=True)
class _Trial:
    """A choice that was compiled and whose noise was measured in a whole network."""

    choice: Choice
    compiled: Costs
    noise: float

    def value(self, quantity: Quantity) -> float:
        return self.noise if quantity == "noise" else float(getattr(self.choice, quantity))


class MixedSearch:
    """The table of options of one module, for any number of budgets.

    It is corrected by what compiling and measuring whole networks shows: costs of a chosen network
    replace those that were there, `added_noise` is raised where a network had more noise than the
    sum of its layers', and `together`, how much of the sum there is in one network, is lowered
    where it had less. recipe: rounding, calibration and the like; its bits are replaced. samples:
    how many to measure noise on, of those that are prepared.
    """

    def __init__(
        self,
        prepared: Prepared,
        recipe: ModuleRecipe,
        costs_of: CostsOf,
        options: Sequence[BitChoice] = BITS,
        samples: int = 16,
        progress: Progress = silent,
    ) -> None:
        from zapdeploy.quantize.modules.sensitivity import measure, split

        self.prepared, self.recipe, self.costs_of = prepared, recipe, costs_of
        self.widest, self.progress = options[0], progress
        self.fitted, self.judged = split(prepared, samples)
        self.noise = measure(self.fitted, self.judged, recipe, options, progress=progress)
        uniforms = {}
        for index, bits in enumerate(options):
            uniforms[bits] = self._compile(dict.fromkeys(prepared.layers, bits))
            progress("compile", index + 1, len(options))
        self.costs = {
            name: {bits: _layer_cost(uniforms[bits], name) for bits in options}
            for name in prepared.layers
        }
        self.compiled = self.uniform = uniforms[self.widest]
        self.added_noise = {name: dict(found) for name, found in self.noise.layers.items()}
        self.together = 1.0
        self.tried = [self._widest()]

    def quantize(self, budgets: Sequence[Budget], objective: Quantity = "energy_j") -> MixedResult:
        """The network with the least of `objective` whose measured noise and compiled costs are
        within the budgets. Raises UsageError when there is none."""
        from zapdeploy.quantize.modules.build import build

        known = len(self.tried)
        for _ in range(TRIALS):
            try:
                choice, compiled = self._settle(objective, budgets)
            except UsageError:
                if not _within(self.tried, budgets):
                    raise
                break  # what was learned rules out all others
            if any(trial.choice.bits == choice.bits for trial in self.tried):
                break
            self.tried.append(_Trial(choice, compiled, self._measured(choice.bits)))
            self._learn(self.tried[-1])
        best = _best(self.tried, objective, budgets)
        return MixedResult(
            best.choice,
            best.compiled,
            best.noise,
            self.uniform,
            self.noise.widest,
            pareto_front(self.table, "energy_j" if objective == "noise" else objective),
            build(self.prepared, self.recipe, best.choice.bits, progress=self.progress),
            1 + len(self.tried) - known,
        )

    def _measured(self, bits: Mapping[str, BitChoice]) -> float:
        """The noise of a whole network on samples that its rounding has not seen."""
        from zapdeploy.quantize.modules.build import build
        from zapdeploy.quantize.modules.sensitivity import noise

        made = build(self.fitted, self.recipe, bits, progress=self.progress)
        return noise(self.fitted, made, self.judged)

    def _compile(self, bits: Mapping[str, BitChoice]) -> Costs:
        return _costs(self.prepared, self.recipe, bits, self.costs_of)

    @property
    def table(self) -> Table:
        """Options of every layer; what the compiled network costs beside its layers is the rest."""
        layers = {
            name: tuple(
                Option(bits, noise * self.together, *self.costs[name][bits])
                for bits, noise in found.items()
            )
            for name, found in self.added_noise.items()
        }
        in_layers = [_layer_cost(self.compiled, name) for name in layers]
        return Table(
            layers,
            rest_energy_j=self.compiled.energy_j - sum(energy for energy, _ in in_layers),
            rest_latency_s=self.compiled.latency_s - sum(latency for _, latency in in_layers),
            rest_noise=self.noise.widest,
        )

    def _widest(self) -> _Trial:
        """The widest bits everywhere, which sensitivities were counted from."""
        bits = dict.fromkeys(self.noise.layers, self.widest)
        noise, cost = self.noise.widest, self.uniform
        return _Trial(Choice(bits, noise, cost.energy_j, cost.latency_s), cost, noise)

    def _settle(self, objective: Quantity, budgets: Sequence[Budget]) -> tuple[Choice, Costs]:
        """Choose and compile until a choice is made by its own network's costs.

        Of choices that alternate, the best one within the budgets.
        """
        tried: list[_Trial] = []
        for index in range(ROUNDS):
            bits_of = choose(self.table, objective, budgets).bits
            if any(trial.choice.bits == bits_of for trial in tried):
                break
            self.compiled = self._compile(bits_of)
            for name, bits in bits_of.items():
                self.costs[name][bits] = _layer_cost(self.compiled, name)
            choice = choice_of(self.table, bits_of)
            tried.append(_Trial(choice, self.compiled, choice.noise))
            self.progress("choose", index + 1, ROUNDS)
        best = _best(tried, objective, budgets)
        return best.choice, best.compiled

    def _learn(self, trial: _Trial) -> None:
        """What a network's measured noise says of the options that it is made of.

        More than the sum is laid on all that are narrowed alike; less scales all sums.
        """
        chosen = {n: b for n, b in trial.choice.bits.items() if b != self.widest}
        alone = sum(self.added_noise[name][bits] for name, bits in chosen.items())
        added = trial.noise - self.noise.widest
        for name, bits in chosen.items():
            self.added_noise[name][bits] += max(added - alone, 0.0) / len(chosen)
        if alone:
            self.together = min(max(added / alone, LEAST_TOGETHER), 1.0)


def _within(tried: Sequence[_Trial], budgets: Sequence[Budget]) -> list[_Trial]:
    return [
        trial
        for trial in tried
        if all(trial.value(b.quantity) <= b.limit * (1 + 1e-9) for b in budgets)
    ]


def _best(tried: Sequence[_Trial], objective: Quantity, budgets: Sequence[Budget]) -> _Trial:
    """The best of the compiled choices that meets the budgets at its compiled cost."""
    within = _within(tried, budgets)
    if not within:
        nearest = tried[-1]
        raise UsageError(
            "budget must be one that a compiled network meets, not "
            f"{', '.join(f'{b.quantity} {b.limit:.3g}' for b in budgets)}: the nearest has "
            f"{nearest.choice.energy_j:.3g} J, {nearest.choice.latency_s:.3g} s and "
            f"{snr_db(nearest.noise):.1f} dB; raise it a little"
        )
    return min(within, key=lambda trial: trial.value(objective))


def _costs(
    prepared: Prepared, recipe: ModuleRecipe, bits: Mapping[str, BitChoice], costs_of: CostsOf
) -> Costs:
    """What compile reports for the module at these bits."""
    from zapdeploy.quantize.modules.build import assemble
    from zapdeploy.quantize.modules.export import export_file

    quantized = assemble(prepared, recipe, bits)
    example = tuple(values[:1] for values in prepared.samples)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mixed.onnx")
        export_file(quantized.graph, example, path)
        return costs_of(path)


def _layer_cost(costs: Costs, name: str) -> tuple[float, float]:
    """The costs of a layer; the front end numbers the nodes that a Gemm becomes."""
    for written in (name, f"{name}_1"):
        if written in costs.layers:
            return costs.layers[written]
    raise UsageError(
        f"layers must be compiled under their own names, not without {name!r}; "
        "its product is merged with another one's"
    )


def draw_front(result: MixedResult, path: Path, energy_of: str = "random data") -> bool:
    """The Pareto front as an HTML page: signal-to-noise ratio over energy per frame.

    energy_of: what values the energy is of. Returns whether it was drawn: not without Plotly.
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
                name="mixed (modelled energy, noise predicted from single layers)",
            ),
            go.Scatter(
                x=[result.choice.energy_j], y=[snr_db(result.noise)], name="chosen (noise measured)"
            ),
            go.Scatter(
                x=[result.uniform.energy_j],
                y=[snr_db(result.widest_noise)],
                name="8 bits everywhere (noise measured)",
            ),
        ]
    )
    figure.update_layout(
        xaxis_title=f"energy per frame, J (modelled, {energy_of})", yaxis_title="output SNR, dB"
    )
    with atomic_write(path) as file:
        file.write(figure.to_html(include_plotlyjs=True).encode())
    return True
