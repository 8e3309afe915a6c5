"""A float network in parts: few tensors at a time, and every value as if it had run whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.quantize.networks import images, node, random_weights, residual_cnn, save, session
from zapdeploy.quantize import parts
from zapdeploy.quantize.calibration import measure
from zapdeploy.quantize.execution import Floats, runner, sample_batches
from zapdeploy.quantize.network import Network
from zapdeploy.quantize.parts import Part, batch_size, cut, tensor_types

WANTED = ("input", "c1", "r1", "c3", "a1", "r3", "output")


def network(folder: Path, batch: int | str = 1) -> Network:
    return Network(onnx.load(residual_cnn(folder / "net.onnx", batch)))


def parts_of(found: Network, wanted: tuple[str, ...] = WANTED) -> tuple[Part, ...]:
    return cut(found, wanted, tensor_types(found, batch_size(found)))


def all_at_once(path: Path, names: tuple[str, ...], inputs: Floats) -> dict[str, Floats]:
    """Values of tensors when ONNX Runtime has all of them as outputs of one run of the file."""
    model = onnx.load(path)
    del model.graph.output[:]
    for name in names:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    onnx.save(model, path.with_name("probe.onnx"))
    found = session(path.with_name("probe.onnx")).run(list(names), {"input": inputs})
    return dict(zip(names, found, strict=True))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for two of the larger tensors, [1, 8, 8, 8] in float32."""
    monkeypatch.setattr(parts, "PART_BYTES", 2 * 8 * 64 * 4)


@pytest.mark.usefixtures("small_parts")
def test_values_are_those_of_the_network_in_one_run(tmp_path: Path) -> None:
    found = network(tmp_path)
    assert len(parts_of(found)) > 1
    run = runner(found, WANTED)
    for _, batch in sample_batches(found, images(3)):
        values = dict(run(batch))
        whole = all_at_once(tmp_path / "net.onnx", WANTED[1:], batch["input"])
        assert list(values) == list(WANTED)
        np.testing.assert_array_equal(values["input"], batch["input"])
        for name, expected in whole.items():
            np.testing.assert_array_equal(values[name], expected)


@pytest.mark.parametrize("batch", [1, 2])
def test_statistics_do_not_depend_on_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    found = network(tmp_path, batch)
    whole = measure(found, WANTED, images(4))
    assert len(parts_of(found)) == 1
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    assert len(parts_of(found)) == len(WANTED) - 1
    cut_up = measure(found, WANTED, images(4))
    for name in WANTED:
        one, other = whole.histograms[name], cut_up.histograms[name]
        assert (one.low, one.high) == (other.low, other.high)
        np.testing.assert_array_equal(one.counts, other.counts)
    assert whole.means.keys() == cut_up.means.keys()
    for layer, mean in whole.means.items():
        np.testing.assert_array_equal(mean, cut_up.means[layer])


@pytest.mark.usefixtures("small_parts")
def test_parts_fill_up_and_hand_on_what_is_read_later(tmp_path: Path) -> None:
    """c1 and r1 are all that fits into the first part; its r2 and p1 are read by the second."""
    first, second = parts_of(network(tmp_path))
    assert [entry.output[0] for entry in first.nodes] == ["c1", "r1", "p1", "c2", "r2"]
    assert (first.inputs, first.outputs) == (("input",), ("c1", "r1", "p1", "r2"))
    assert (set(second.inputs), second.outputs) == ({"p1", "r2"}, ("c3", "a1", "r3", "output"))


def test_what_nothing_wanted_depends_on_does_not_run(tmp_path: Path) -> None:
    (only,) = parts_of(network(tmp_path), ("r1",))
    assert [entry.output[0] for entry in only.nodes] == ["c1", "r1"]
    assert parts_of(network(tmp_path), ("input",)) == ()


def test_an_open_batch_is_as_large_as_its_tensors_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = network(tmp_path, "n")
    assert batch_size(found) == 8
    monkeypatch.setattr(parts, "PART_BYTES", 3 * 8 * 64 * 4)
    assert [len(b["input"]) for _, b in sample_batches(found, images(7))] == [3, 3, 1]
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    assert batch_size(found) == 1


@pytest.mark.usefixtures("small_parts")
def test_a_branch_reads_across_parts(tmp_path: Path) -> None:
    """Its bodies name tensors that are no inputs of the node; "b" is made two parts before.

    The condition is a constant that is declared as an input, too, as old files have it.
    """
    shape = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 8, 8])
    bodies = {
        f"{name}_branch": helper.make_graph([node(operator, "b", "y")], name, [], [shape])
        for name, operator in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [
        node("Conv", "input w", "a", kernel_shape=[1, 1]),
        node("Relu", "a", "b"),
        node("Sigmoid", "b", "c"),
        node("Sigmoid", "c", "d"),
        node("If", "yes", "e", **bodies),
        node("Add", "e d", "output"),
    ]
    weights = random_weights({"w": (8, 3, 1, 1)}) | {"yes": np.array(False)}
    path = save(tmp_path / "net.onnx", nodes, weights, ([1, 3, 8, 8], [1, 8, 8, 8]))
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("yes", TensorProto.BOOL, []))
    found, wanted = Network(model), ("a", "b", "c", "d", "e", "output")
    assert len(parts_of(found, wanted)) == 3
    values = dict(runner(found, wanted)(images(1)))
    for name, expected in all_at_once(path, wanted, images(1)["input"]).items():
        np.testing.assert_array_equal(values[name], expected)


def test_a_network_of_unknown_sizes_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    nodes = [node("Conv", "input w", "c"), node("Relu", "c", "output")]
    weights = random_weights({"w": (4, 3, 1, 1)})
    path = save(tmp_path / "net.onnx", nodes, weights, ([1, 3, "h", 8], [1, 4, "h", 8]))
    found = Network(onnx.load(path))
    assert len(parts_of(found, ("c", "output"))) == 1
    values = dict(runner(found, ("c", "output"))(images(1)))
    assert values["output"].shape == (1, 4, 8, 8)
