"""Scales for each neuron: when they are chosen, what they gain, and that file and chip agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from zapdeploy.errors import UsageError
from zapdeploy.exporter import quiet_exporter
from zapdeploy.quantize import Recipe, quantize_onnx
from zapdeploy.quantize.index_ranges import IndexRanges, Trial, absolute_error
from zapdeploy.quantize.ranges import Histogram, Quantizer, choose_quantizer, count_values

NEURONS = 40


def traces(samples: int, spread: float, seed: int = 0) -> NDArray[np.float32]:
    """[samples, 4, neurons] between -0.1 and 1 of a range that differs by `spread` (lognormal)."""
    size = 0.2 * np.exp(np.random.default_rng(0).normal(0, spread, NEURONS))
    values = np.random.default_rng(seed).uniform(-0.1, 1, (samples, 4, NEURONS)) ** 3 * size
    return np.asarray(values, np.float32)


def tensor_quantizer(values: NDArray[np.float32], bits: int) -> Quantizer:
    low, high = float(values.min()), float(values.max())
    return choose_quantizer(Histogram(low, high, count_values(values, low, high)), bits)


def trial(values: NDArray[np.float32], bits: int) -> Trial:
    """Ranges from the first half of the samples, errors on the second."""
    half, ranges = len(values) // 2, IndexRanges(2)
    ranges.widen(values[:half], 0)
    ranges.widen(values[half:], 1)
    tried = Trial(tensor_quantizer(values, bits), ranges)
    tried.add(values[half:])
    return tried


@pytest.mark.parametrize("bits", [4, 8])
def test_neurons_of_unlike_ranges_get_scales_of_their_own(bits: int) -> None:
    values = traces(256, 1.0)
    found = trial(values, bits).choose("auto")
    assert found.axis == 2
    assert np.shape(found.scale) == np.shape(found.zero_point) == (NEURONS,)
    one = tensor_quantizer(values, bits)
    assert absolute_error(values, found) < 0.7 * absolute_error(values, one)


@pytest.mark.parametrize("bits", [4, 8])
def test_neurons_of_like_ranges_share_one(bits: int) -> None:
    assert trial(traces(256, 0.0), bits).choose("auto").axis is None
    assert trial(traces(256, 0.0), bits).choose("per neuron").axis == 2


def test_eight_bits_leave_room_for_what_was_not_seen() -> None:
    """Every range is at least a quarter wider than what was seen of the neuron."""
    values = traces(256, 1.0)
    found = trial(values, 8).choose("auto")
    reach = (255 - np.asarray(found.zero_point)) * np.asarray(found.scale)
    assert np.all(reach >= 1.2 * values.max(axis=(0, 1)))


def test_a_neuron_that_was_never_active_has_a_scale() -> None:
    values = traces(64, 1.0)
    values[:, :, 3] = 0
    found = trial(values, 8).choose("per neuron")
    assert np.all(np.asarray(found.scale) > 0)
    assert np.asarray(found.scale)[3] == pytest.approx(
        np.asarray(found.scale).max() / 1024, rel=0.3
    )


def test_too_few_samples_are_not_judged() -> None:
    """127 samples of 4 frames are fewer than 512 values."""
    assert trial(traces(127, 1.0), 8).choose("auto").axis is None
    assert trial(traces(128, 1.0), 8).choose("auto").axis == 2


def test_what_was_not_seen_before_counts_against_scales_per_neuron() -> None:
    """Rare events: what the first half shows says little, and one scale for all does better."""
    random = np.random.default_rng(0)
    values = random.normal(0, 0.001, (256, 4, NEURONS)).astype(np.float32)
    values[128:, :, ::2] += 1.0
    assert trial(values, 8).choose("auto").axis is None


torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")

from tests.quantize.modules import time_mixer  # noqa: E402
from zapdeploy.commands.quantize_module import check_file  # noqa: E402
from zapdeploy.quantize import (  # noqa: E402
    build,
    find_recipe,
    prepare_module,
    quantize_module,
)
from zapdeploy.quantize.modules.neurons import separable  # noqa: E402
from zapdeploy.quantize.modules.quantizers import StepQuantizer  # noqa: E402
from zapdeploy.quantize.modules.sites import place  # noqa: E402


class TimeMixes(torch.nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
    """Three residual mixes along time, then a map: [b, 4, neurons] -> [b, 6, neurons].

    Biases are large, as in trained forecasters: every neuron carries the same constants.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mixes = torch.nn.ModuleList(torch.nn.Conv1d(4, 4, 1) for _ in range(3))
        for mix in self.mixes:
            mix.bias.data = torch.tensor([0.15, 0.05, 0.1, 0.2])
        self.forecast = torch.nn.Conv1d(4, 6, 1)

    def forward(self, x: Any) -> Any:
        for mix in self.mixes:
            x = x + torch.relu(mix(x))
        return self.forecast(x)


def neuron_scales(graph: Any) -> list[bool]:
    """Of each quantizer of activations, whether it has a scale for each neuron."""
    return [m.pattern is not None for m in graph.modules() if _reads(m)]


def _reads(module: Any) -> bool:
    return isinstance(module, StepQuantizer) and module.low == 0


@pytest.mark.parametrize(
    ("recipe", "form"), [("int8", "qcdq"), ("int4", "packed"), ("w2a4", "qcdq")]
)
def test_torch_runtime_and_simulator_agree(tmp_path: Path, recipe: str, form: Any) -> None:
    target = tmp_path / "q.onnx"
    calibration = {"input": traces(16, 1.0)}
    chosen = find_recipe(recipe, activation_scales="per neuron")
    record = quantize_module(TimeMixes(), target, calibration, chosen, form=form, check=check_file)
    assert record.agreed, record.agreement
    onnx.checker.check_model(str(target))
    for node in onnx.load(target).graph.node:
        if node.op_type == "QuantizeLinear":
            assert [(a.name, a.i) for a in node.attribute if a.name == "axis"] == [("axis", -1)]


def test_scales_that_are_powers_of_two_agree_in_every_element(tmp_path: Path) -> None:
    recipe = find_recipe("int4", exponents=True, activation_scales="per neuron")
    calibration = {"input": traces(16, 1.0)}
    record = quantize_module(
        TimeMixes(), tmp_path / "q.onnx", calibration, recipe, check=check_file
    )
    for part in record.agreement.values():
        assert part["passed"]
        assert part["equal"] == part["elements"]


def test_what_they_gain() -> None:
    """Less error of the output at 8 bits and at 4 inside, where neurons have unlike ranges."""
    prepared = prepare_module(TimeMixes(), {"input": traces(128, 1.0)})
    x = torch.from_numpy(traces(64, 1.0, seed=1))
    exact = prepared.graph(x)
    for recipe in ("int8", "int4"):
        errors = {}
        for scales in ("per tensor", "auto"):
            quantized = build(prepared, find_recipe(recipe, activation_scales=scales))
            assert any(neuron_scales(quantized.graph)) == (scales == "auto")
            errors[scales] = float((quantized.graph(x) - exact).abs().mean().detach())
        assert errors["auto"] < 0.7 * errors["per tensor"]


def test_narrow_readers_are_centred() -> None:
    """Constants that all neurons carry are subtracted before 4 bits, and the bias makes up."""
    prepared = prepare_module(TimeMixes(), {"input": traces(16, 1.0)})
    recipe = find_recipe(
        "int4", rounding="nearest", correct_bias=False, activation_scales="per neuron"
    )
    graph = build(prepared, recipe).graph
    centred: list[Any] = [m for m in graph.modules() if _reads(m) and m.centre is not None]
    assert len(centred) == 2
    reader, centre = centred[0], centred[0].centre
    layer: Any = graph.get_submodule("mixes.1")
    exact: Any = prepared.graph.get_submodule("mixes.1")
    missing = exact.weight[:, :, 0] @ centre.reshape(-1)
    assert torch.allclose(layer.bias - exact.bias, missing)
    x = torch.from_numpy(traces(4, 1.0)) + centre
    inserted = exact(reader(x - centre)[0]) + missing[:, None]
    assert torch.allclose(exact(reader.seen_by_reader(x)), inserted, atol=1e-6)


def test_layers_that_sum_over_neurons_read_one_scale() -> None:
    """A mix along neurons: what it reads and what is added to it keep one scale."""
    prepared = prepare_module(time_mixer(), {"input": traces(2, 1.0)[:, :, :12]})
    placement = place(prepared.roles, find_recipe("int8"))
    names = {name for site in separable(prepared.roles, placement) for name in site.values}
    nodes = {str(node.target): node.name for node in prepared.roles.layers}
    assert nodes["forecast"] in names
    reader = prepared.roles.layers[1].all_input_nodes[0]  # the reshape before "down"
    assert prepared.roles.root(reader).name not in names


def test_training_keeps_the_proportions_of_the_steps() -> None:
    quantizer = StepQuantizer(torch.tensor([[[0.1, 0.2, 0.4]]]), 8, signed=False)
    quantizer.step.data *= 1.5
    assert torch.allclose(quantizer.scale(), torch.tensor([[[0.15, 0.3, 0.6]]]))
    quantizer.training = True
    values = quantizer(torch.ones(2, 4, 3))[0]
    values.sum().backward()
    assert quantizer.step.grad is not None
    assert quantizer.step.grad.ndim == 0


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(UsageError, match="activation_scales must be one of auto, per tensor, per "):
        find_recipe("int8", activation_scales="each")


@pytest.mark.parametrize(("bits", "form"), [(8, "qdq"), (4, "packed")])
def test_onnx_files_without_torch(tmp_path: Path, bits: int, form: Any) -> None:
    """The same choice on a float file: its record says so, and the simulator agrees."""
    source, target = tmp_path / "float.onnx", tmp_path / "q.onnx"
    example = (torch.zeros(1, 4, NEURONS),)
    with quiet_exporter():
        torch.onnx.export(TimeMixes(), example, str(source), input_names=["input"], dynamo=False)
    calibration = {"input": traces(16, 1.0)}
    record = quantize_onnx(
        source,
        target,
        weights=bits,
        activations=bits,
        form=form,
        calibration=calibration,
        activation_scales="per neuron",
    )
    assert record.recipe.endswith("-per-neuron")
    written = [node for node in onnx.load(target).graph.node if node.op_type == "QuantizeLinear"]
    assert any(a.name == "axis" and a.i == 2 for node in written for a in node.attribute)
    assert check_file(target, {"input": calibration["input"][:1]})["passed"]


def test_integer_operators_have_one_scale() -> None:
    with pytest.raises(UsageError, match="form must be 'qdq', 'qcdq' or 'packed' for activation "):
        Recipe(8, 8, "qoperator", activation_scales="auto")
