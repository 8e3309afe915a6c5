"""How far a quantized network's outputs are from the float network's, and which layers are why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from zapdeploy.arrays import Arrays
from zapdeploy.errors import UsageError
from zapdeploy.quantize.execution import runner, sample_batches
from zapdeploy.quantize.network import Network, Role
from zapdeploy.quantize.plan import Plan
from zapdeploy.quantize.widths import layer_name

LOST_DB = 10.0  # with more than a tenth of its power in noise an output has lost its meaning
BEST_DB = 300.0  # of equal values
BLAMED = 3
_SEEN = 4  # samples that layers are compared on

Values = list[dict[str, NDArray[Any]]]
# How well outputs [samples, ...] do a task, given the inputs and what else came with them.
Metric = Callable[[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]]], float]


@dataclass(frozen=True)
class Blame:
    """A layer that loses much: signal to noise of what it reads and of what it hands on, in dB."""

    layer: str
    read_db: float
    result_db: float


@dataclass(frozen=True)
class Fidelity:
    """Signal to noise of every output in dB, measured on `samples` inputs; of one that is no real
    number, all of its elements over those that differ.

    held_back: whether no scale was chosen on these inputs. blame: the layers that lose the most,
    worst first; empty where no output lost its meaning. metric: what the caller's own measure says
    of the float and of the quantized network, None without one.
    """

    snr_db: Mapping[str, float]
    samples: int
    held_back: bool
    blame: tuple[Blame, ...] = ()
    metric: tuple[float, float] | None = None

    @property
    def lost(self) -> tuple[str, ...]:
        """Outputs with more than a tenth of their power in noise."""
        return tuple(name for name, found in self.snr_db.items() if found < LOST_DB)

    def as_json(self) -> dict[str, Any]:
        """The measurement as a JSON document."""
        return asdict(self) | {"snr_db": dict(self.snr_db), "lost": list(self.lost)}


def outputs_of(network: Network, samples: Arrays) -> Values:
    """Every output, batch by batch."""
    run = runner(network, sorted(network.output_names))
    return [
        {name: np.asarray(values) for name, values in run(batch)}
        for _, batch in sample_batches(network, samples)
    ]


def fidelity(
    exact: Values, model: onnx.ModelProto, samples: Arrays, *, held_back: bool
) -> Fidelity:
    """The outputs of a quantized model against `exact`, those of its float network."""
    network = Network(model)
    pairs = (
        (name, wanted[name], values)
        for wanted, found in zip(exact, outputs_of(network, samples), strict=True)
        for name, values in found.items()
    )
    measured = _ratios_db(pairs)
    ordered = {v.name: measured[v.name] for v in model.graph.output if v.name in measured}
    return Fidelity(ordered, sum(_count(found) for found in exact), held_back)


def measured_by(
    metric: Metric, exact: Values, model: onnx.ModelProto, samples: Arrays, given: Arrays
) -> tuple[float, float]:
    """The metric of the float and of the quantized network. Raises UsageError where it fails."""
    both = exact, outputs_of(Network(model), samples)
    try:
        first, second = (float(metric(_joined(found), given)) for found in both)
    except Exception as error:  # the caller's own code may raise anything
        raise UsageError(
            f"--metric must return a number, not fail: {type(error).__name__}: {error}; "
            "it is called with the outputs and the inputs, both arrays by name"
        ) from error
    return first, second


def _joined(found: Values) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([np.atleast_1d(v[name]) for v in found]) for name in found[0]}


def _count(found: Mapping[str, NDArray[Any]]) -> int:
    """Samples in one run: the length of the outputs' first dimension where they agree on it."""
    lengths = {values.shape[0] if values.ndim else 1 for values in found.values()}
    return lengths.pop() if len(lengths) == 1 else 1


def _ratios_db(pairs: Iterable[tuple[str, NDArray[Any], NDArray[Any]]]) -> dict[str, float]:
    """Signal to noise in dB by name, over all pairs of exact and found values of that name."""
    power: dict[str, float] = {}
    noise: dict[str, float] = {}
    for name, exact, found in pairs:
        if exact.dtype.kind == "f":
            wanted = exact.astype(np.float64).ravel()
            error = found.astype(np.float64).ravel() - wanted
        else:  # an index, a truth: right or wrong
            wanted, error = np.ones(exact.size), (found != exact).astype(np.float64).ravel()
        power[name] = power.get(name, 0.0) + float(wanted @ wanted)
        noise[name] = noise.get(name, 0.0) + float(error @ error)
    return {name: _decibels(power[name], noise[name]) for name in power}


def _decibels(power: float, noise: float) -> float:
    if noise <= 0:
        return BEST_DB
    return float(min(10 * np.log10(max(power, 1e-300) / noise), BEST_DB))


def blamed(
    plan: Plan, original: Network, model: onnx.ModelProto, samples: Arrays
) -> tuple[Blame, ...]:
    """The layers whose results are so much worse than what they read, worst first.

    original: the float network; model: the plan as `form_qdq` writes it.
    """
    network = plan.network
    inner = [name for name in plan.quantizers if name not in network.input_names]
    ratios = _ratios_db(_side_by_side(original, Network(model), inner, samples))
    ratios |= _input_ratios(plan, samples)
    found = [
        Blame(layer_name(node), min(read), ratios[network.result(node)])
        for node in network.nodes
        if network.role(node) in (Role.MATRIX, Role.PRODUCT, Role.COMBINING)
        and (read := [ratios[n] for n in network.activation_inputs(node) if n in ratios])
        and network.result(node) in ratios
    ]
    found.sort(key=lambda blame: blame.result_db - blame.read_db)
    return tuple(found[:BLAMED])


def _side_by_side(
    original: Network, quantized: Network, tensors: list[str], samples: Arrays
) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """The tensors' values in both networks, as they come: neither keeps them."""
    written = {
        name if name in original.output_names else f"{name}_dequantized": name for name in tensors
    }
    exact, found = runner(original, tensors), runner(quantized, tuple(written))
    for index, (_, batch) in enumerate(sample_batches(original, samples)):
        if index == _SEEN:
            return
        wanted = dict[str, NDArray[Any]]()
        coming = exact(batch)
        for result, values in found(batch):
            name = written[result]
            while name not in wanted:
                key, value = next(coming)
                wanted[key] = value
            yield name, wanted.pop(name), values


def _input_ratios(plan: Plan, samples: Arrays) -> dict[str, float]:
    """What quantizing the network's own inputs leaves of them."""
    found = {}
    for name in plan.network.input_names:
        quantizer = plan.quantizers.get(name)
        if quantizer is not None and quantizer.axis is None:
            values = np.asarray(samples[name], np.float32)
            codes = np.rint(values / quantizer.scale) + quantizer.zero_point
            kept = (np.clip(codes, 0, quantizer.highest) - quantizer.zero_point) * quantizer.scale
            found[name] = _ratios_db([(name, values, kept)])[name]
    return found
