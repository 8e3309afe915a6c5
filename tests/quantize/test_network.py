"""Which nodes become integer, and with how many bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.quantize.networks import node, random_weights, residual_cnn, save
from zapdeploy.errors import ModelError
from zapdeploy.quantize import Recipe
from zapdeploy.quantize.network import Network, check_network
from zapdeploy.quantize.rounding import can_be_rounded
from zapdeploy.quantize.widths import assign_widths


def load(path: Path) -> Network:
    return Network(onnx.load(path))


def roles(network: Network) -> list[str]:
    return [network.role(entry).value for entry in network.nodes]


def bits(network: Network, **recipe: int) -> dict[str, int]:
    widths = assign_widths(
        network, Recipe(form="packed", **{"weights": 4, "activations": 4, **recipe})
    )
    return {name: site.bits for site in widths.sites for name in site.tensors}


def test_roles_in_a_residual_network(tmp_path: Path) -> None:
    network = load(residual_cnn(tmp_path / "net.onnx"))
    assert roles(network) == [
        "matrix", "activation", "passing", "matrix", "activation", "matrix", "combining",
        "activation", "combining", "passing", "matrix",
    ]  # fmt: skip
    assert network.quantized == (
        "input", "r1", "p1", "r2", "c3", "r3", "g1", "f1", "output",
    )  # fmt: skip


def test_edges_have_8_bits_and_the_inside_4(tmp_path: Path) -> None:
    """The first layer reads 8 bits and writes 4; pooling writes the 8 bits that the last reads."""
    network = load(residual_cnn(tmp_path / "net.onnx"))
    assert bits(network) == {
        "input": 8, "r1": 4, "p1": 4, "r2": 4, "c3": 4, "r3": 4, "g1": 8, "f1": 8, "output": 8,
    }  # fmt: skip
    widths = assign_widths(network, Recipe(4, 4, "packed"))
    assert widths.weights == {"c1": 8, "c2": 4, "c3": 4, "output": 8}


def test_edges_can_be_narrow_but_not_the_networks_own_input_and_output(tmp_path: Path) -> None:
    network = load(residual_cnn(tmp_path / "net.onnx"))
    found = bits(network, keep_first_last=4)
    assert [found[name] for name in ("input", "f1", "output")] == [8, 4, 8]
    widths = assign_widths(network, Recipe(2, 4, "packed", keep_first_last=2))
    assert set(widths.weights.values()) == {2}


def test_pooling_by_maximum_shares_its_quantizer(tmp_path: Path) -> None:
    network = load(residual_cnn(tmp_path / "net.onnx"))
    sites = assign_widths(network, Recipe(4, 4, "packed")).sites
    assert ("r1", "p1") in [site.tensors for site in sites]
    assert ("g1", "f1") in [site.tensors for site in sites]


def test_normalisation_around_the_layers_stays_in_float(tmp_path: Path) -> None:
    """The shape of reversible instance normalisation: statistics before, their inverse after."""
    nodes = [
        node("ReduceMean", "input", "mean", axes=[1], keepdims=1),
        node("Sub", "input mean", "centred"),
        node("Conv", "centred w b", "c"),
        node("Relu", "c", "r"),
        node("Add", "centred r", "a"),
        node("Conv", "a w b", "y"),
        node("Add", "y mean", "output"),
    ]
    weights = random_weights({"w": (4, 4, 1), "b": (4,)})
    network = load(save(tmp_path / "n.onnx", nodes, weights, ([1, 4, 9], [1, 4, 9])))
    assert roles(network) == [
        "float", "float", "matrix", "activation", "combining", "matrix", "float",
    ]  # fmt: skip
    assert network.quantized == ("centred", "r", "a", "y")
    assert bits(network) == {"centred": 8, "r": 4, "a": 8, "y": 8}


def test_an_activation_that_others_bypass_is_not_absorbed(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", "input w b", "g"),
        node("Relu", "g", "r"),
        node("Add", "g r", "output"),
    ]
    weights = random_weights({"w": (6, 6), "b": (6,)})
    network = load(save(tmp_path / "n.onnx", nodes, weights, ([2, 6], [2, 6])))
    assert roles(network) == ["matrix", "combining", "combining"]
    assert network.quantized == ("input", "g", "r", "output")


@pytest.mark.parametrize(
    ("low", "high", "role"),
    [(0, 6, "activation"), (-1, 1, "activation"), (1, 6, "combining"), (-6, -1, "combining")],
)
def test_a_clip_is_absorbed_if_saturation_can_stand_for_it(
    tmp_path: Path, low: float, high: float, role: str
) -> None:
    nodes = [node("Gemm", "input w b", "g"), node("Clip", "g low high", "output")]
    weights = random_weights({"w": (6, 6), "b": (6,)})
    weights |= {"low": np.array(low, np.float32), "high": np.array(high, np.float32)}
    network = load(save(tmp_path / "n.onnx", nodes, weights, ([2, 6], [2, 6])))
    assert roles(network) == ["matrix", role]


def test_an_addition_of_a_constant_stays_in_float(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", "input w b", "g"),
        node("Add", "g b", "a"),
        node("Relu", "a", "r"),
        node("Gemm", "r w b", "output"),
    ]
    weights = random_weights({"w": (6, 6), "b": (6,)})
    network = load(save(tmp_path / "n.onnx", nodes, weights, ([2, 6], [2, 6])))
    assert roles(network) == ["matrix", "float", "float", "matrix"]
    assert network.quantized == ("input", "g", "r", "output")


def test_a_product_of_two_activations_is_one_of_integers(tmp_path: Path) -> None:
    """Both operands carry quantizers, also behind a function that stays in floating point."""
    nodes = [
        node("MatMul", "input w", "m"),
        node("Softmax", "m", "s"),
        node("MatMul", "s input", "output"),
    ]
    network = load(
        save(tmp_path / "n.onnx", nodes, random_weights({"w": (4, 4)}), ([4, 4], [4, 4]))
    )
    assert roles(network) == ["matrix", "float", "product"]
    assert network.quantized == ("input", "m", "s", "output")


def test_a_gemm_with_a_computed_operand_and_something_to_add_stays_in_float(tmp_path: Path) -> None:
    nodes = [node("MatMul", "input w", "m"), node("Gemm", "m input b", "output")]
    weights = random_weights({"w": (4, 4), "b": (4,)})
    network = load(save(tmp_path / "n.onnx", nodes, weights, ([4, 4], [4, 4])))
    assert roles(network) == ["matrix", "float"]


def test_state_has_one_quantizer(tmp_path: Path) -> None:
    """That of the output, where the new state is computed."""
    nodes = [node("MatMul", "input w", "m"), node("Add", "m input", "output")]
    path = save(tmp_path / "n.onnx", nodes, random_weights({"w": (4, 4)}), ([4, 4], [4, 4]))
    model = onnx.load(path)
    model.metadata_props.add(key="zapdeploy.state", value='{"input": "output"}')
    sites = assign_widths(Network(model), Recipe(4, 4, "packed")).sites
    assert [site.tensors for site in sites] == [("output", "input"), ("m",)]


def test_unreadable_state_is_refused(tmp_path: Path) -> None:
    model = onnx.load(residual_cnn(tmp_path / "net.onnx"))
    model.metadata_props.add(key="zapdeploy.state", value="input=output")
    with pytest.raises(ModelError) as caught:
        _ = Network(model).quantized
    assert str(caught.value) == (
        "metadata 'zapdeploy.state' must be a JSON object of input and output names, "
        "not 'input=output'; write it again"
    )


def test_a_network_without_weights_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "n.onnx", [node("Relu", "input", "output")], {}, ([1, 2], [1, 2]))
    with pytest.raises(ModelError) as caught:
        check_network(load(path))
    assert str(caught.value) == (
        "model must have a Conv, Gemm or MatMul with constant float32 weights, not none; "
        "there is nothing to quantize"
    )


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    weights = random_weights({"w": (6, 6), "b": (6,)})
    weights["w"][3, 3] = np.nan
    path = save(
        tmp_path / "n.onnx", [node("Gemm", "input w b", "output")], weights, ([2, 6], [2, 6])
    )
    with pytest.raises(ModelError) as caught:
        check_network(load(path))
    assert str(caught.value) == (
        "weights must be finite, not NaN or infinite ('w', node 'Gemm_output'); "
        "repair the checkpoint and export it again"
    )


def test_what_only_a_concat_reads_has_its_scale(tmp_path: Path) -> None:
    """c1 is rounded once, to the scale of t; c2, which a sum reads too, has its own first."""
    nodes = [
        node("Conv", "input w1", "c1"),
        node("Conv", "input w2", "c2"),
        node("Concat", "c1 c2", "t", axis=1),
        node("Conv", "t w3", "c3"),
        node("Add", "c2 c3", "output"),
    ]
    weights = random_weights({"w1": (2, 3, 1, 1), "w2": (2, 3, 1, 1), "w3": (2, 4, 1, 1)})
    network = load(save(tmp_path / "n.onnx", nodes, weights, ([1, 3, 8, 8], [1, 2, 8, 8])))
    sites = assign_widths(network, Recipe(4, 4, "packed")).sites
    assert [site.tensors for site in sites if "t" in site.tensors] == [("t", "c1")]
    assert ("c2",) in [site.tensors for site in sites]


def test_many_groups_of_many_columns_go_to_the_nearest_code(tmp_path: Path) -> None:
    """Second moments of 8 groups of 2,048 inputs would take 268 MB of float64; of one group 34."""
    for groups, rounded in ((8, False), (1, True)):
        weights = {"w": np.zeros((groups, 2048, 1), np.float32)}
        nodes = [node("Conv", "input w", "output", group=groups)]
        path = tmp_path / f"{groups}.onnx"
        save(path, nodes, weights, ([1, 2048 * groups, 1], [1, groups, 1]))
        network = load(path)
        assert can_be_rounded(network, network.layers[0]) is rounded
