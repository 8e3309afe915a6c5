"""Bits chosen layer by layer: GPTQ and equalization against plain arithmetic, choices by noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.quantize.networks import (
    images,
    node,
    random_weights,
    residual_cnn,
    run,
    save,
    signal_to_noise_db,
)
from zapdeploy.compile.frontend import import_model
from zapdeploy.errors import UsageError
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.quantize import BitChoice, onnx_file, quantize_onnx
from zapdeploy.quantize.bit_choice import widenings
from zapdeploy.quantize.equalization import equalize
from zapdeploy.quantize.execution import sample_batches
from zapdeploy.quantize.network import Network
from zapdeploy.quantize.rounding import columns_of, gptq
from zapdeploy.quantize.walking import Walk
from zapdeploy.sim.check import check

NARROW = {"weights": 4, "activations": 4, "keep_first_last": 4}


def network(path: Path) -> Network:
    return Network(onnx.load(path))


@settings(max_examples=30)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([(1, 1), (3, 2), (2, 3)]),
    st.sampled_from([[0, 0, 0, 0], [1, 0, 2, 1]]),
    st.sampled_from([[1, 1], [2, 1]]),
    st.sampled_from([[1, 1], [1, 2]]),
)
def test_columns_times_weights_are_what_onnxruntime_computes(
    seed: int, group: int, window: tuple[int, int], pads: list[int], strides: list[int],
    dilations: list[int],
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)
    weight = random.standard_normal((8, 4 // group, *window)).astype(np.float32)
    x = random.standard_normal((2, 4, 7, 6)).astype(np.float32)
    layer = node(
        "Conv", "x w", "y", group=group, pads=pads, strides=strides, dilations=dilations
    )  # fmt: skip
    graph = helper.make_graph(
        [layer],
        "g",
        [helper.make_tensor_value_info("x", 1, x.shape)],
        [helper.make_tensor_value_info("y", 1, None)],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    expected = open_session(model, Purpose.PLAIN).run(None, {"x": x})[0]
    columns = columns_of(Network(model), layer, x, 10**6)
    rows = weight.reshape(group, 8 // group, -1)
    found = np.matmul(rows, columns).reshape(8, -1)
    assert np.allclose(found, np.moveaxis(expected, 1, 0).reshape(8, -1), atol=1e-4)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_gptq_keeps_what_is_computed_better_than_the_nearest_codes(seed: int) -> None:
    random = np.random.default_rng(seed)
    mixed = random.standard_normal((24, 24))
    x = (mixed @ random.standard_normal((24, 500))).astype(np.float32)  # correlated inputs
    rows = random.standard_normal((16, 24)).astype(np.float32)
    scales = np.abs(rows).max(axis=1) / np.float32(7)
    nearest = np.clip(np.rint(rows / scales[:, None]), -8, 7)
    codes = gptq(rows, scales, (x @ x.T).astype(np.float64) / 500, 0.0, (-8, 7))
    assert codes.min() >= -8
    assert codes.max() <= 7

    def error(found: np.ndarray) -> float:
        return float(np.square((found * scales[:, None] - rows) @ x).sum())

    assert error(codes) < 0.7 * error(nearest)


def test_gptq_of_independent_inputs_takes_the_nearest_codes() -> None:
    rows = np.random.default_rng(0).standard_normal((8, 12)).astype(np.float32)
    scales = np.abs(rows).max(axis=1) / np.float32(7)
    codes = gptq(rows, scales, np.eye(12), 0.0, (-8, 7))
    assert np.array_equal(codes, np.clip(np.rint(rows / scales[:, None]), -8, 7))


def unequal(path: Path) -> Path:
    """Convolutions (one in groups) and products whose channels have very unlike ranges."""
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 1, 3, 3), "w3": (6, 8, 1, 1), "b3": (6,)}
    weights = random_weights(shapes | {"w4": (6, 5), "w5": (5, 4)})
    spread = (2.0 ** np.arange(-4, 4)).astype(np.float32)
    weights["w1"] *= spread[:, None, None, None]
    weights["w2"] /= spread[:, None, None, None]
    nodes = [
        node("Conv", "input w1 b1", "c1", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 w2", "c2", group=8, pads=[1, 1, 1, 1]),
        node("Relu", "c2", "r2"),
        node("Conv", "r2 w3 b3", "c3"),
        node("Relu", "c3", "r3"),
        node("GlobalAveragePool", "r3", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f w4", "m1"),
        node("Relu", "m1", "m2"),
        node("MatMul", "m2 w5", "output"),
    ]
    return save(path, nodes, weights, ([1, 3, 8, 8], [1, 4]))


def test_equalization_computes_the_same_with_equal_channels(tmp_path: Path) -> None:
    source = unequal(tmp_path / "net.onnx")
    samples = images(16)
    equal = equalize(network(source), samples)
    onnx.save(equal.model, tmp_path / "equal.onnx")
    x = images(8, seed=5)["input"]
    before, after = run(source, x), run(tmp_path / "equal.onnx", x)
    assert np.allclose(before, after, rtol=1e-4, atol=1e-5 * np.abs(before).max())

    def spread(path: Path) -> float:
        model = onnx.load(path)
        model.graph.output.append(helper.make_tensor_value_info("r1", 1, None))
        found = open_session(model, Purpose.PLAIN).run(["r1"], {"input": samples["input"][:1]})[0]
        largest = found.max(axis=(0, 2, 3))
        return float(largest.max() / largest.min())

    assert spread(tmp_path / "equal.onnx") < spread(source) / 10


def test_a_walk_comes_to_what_onnxruntime_computes(tmp_path: Path) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    x = images(6)["input"]
    net = network(source)
    walk = Walk(net, [batch for _, batch in sample_batches(net, {"input": x})])
    tried = []
    for stop in walk.stops():
        layer = stop.layer
        doubled = 2 * net.array(layer.input[1])
        tried.append(walk.outputs_with(stop, stop.read, doubled, walk.bias(layer)))
        changed = onnx.load(source)
        for tensor in changed.graph.initializer:
            if tensor.name == layer.input[1]:
                tensor.CopyFrom(onnx.numpy_helper.from_array(doubled, tensor.name))
        onnx.save(changed, tmp_path / "changed.onnx")
        found = np.concatenate([o["output"] for o in tried[-1]])
        # The last bits of float sums differ where weights are laid out before the run.
        assert np.allclose(found, run(tmp_path / "changed.onnx", x), rtol=1e-5, atol=1e-5)
    assert len(tried) == 4
    ended = np.concatenate([o["output"] for o in walk.outputs()])
    assert np.allclose(ended, run(source, x), rtol=1e-5, atol=1e-5)


def test_widenings_take_the_most_noise_for_each_bit_first() -> None:
    narrow, middle, wide = BitChoice(4, 4), BitChoice(4, 8), BitChoice(8, 8)
    options = {"a": (narrow, middle, wide), "b": (narrow, middle, wide), "c": (wide,)}
    added_noise = {
        "a": {narrow: 9.0, middle: 5.0, wide: 0.0},  # 4 for 16 bits, then 5 for 32
        "b": {narrow: 96.0, middle: 95.0, wide: 0.0},  # 96 for 48 bits at once
        "c": {wide: 0.0},
    }
    work = {"a": 1.0, "b": 1.0, "c": 7.0}
    assert widenings(options, added_noise, work) == [("b", wide), ("a", middle), ("a", wide)]


@pytest.mark.parametrize("form", ["packed", "qcdq"])
def test_the_file_has_the_noise_that_was_asked_for_and_compiles(tmp_path: Path, form: str) -> None:
    source, target = residual_cnn(tmp_path / "net.onnx"), tmp_path / "q.onnx"
    samples = images(64)
    record = quantize_onnx(
        source,
        target,
        calibration=samples,
        form=form,
        min_snr_db=26,
        **NARROW,  # type: ignore
    )
    assert record.choice is not None
    aim = record.choice.aim
    assert aim is not None
    assert aim.found_db >= aim.limit_db == pytest.approx(26)
    x = images(64, seed=9)["input"]
    assert signal_to_noise_db(run(source, x), run(target, x)) > 24
    assert any(layer.weights < 8 for layer in record.layers)
    found = check(import_model(target, batch=8).graph, target, {"input": x[:8]})
    assert found.passed, found.failures


def test_what_8_bits_cannot_reach_is_not_aimed_at(tmp_path: Path) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    record = quantize_onnx(
        source,
        tmp_path / "q.onnx",
        calibration=images(32),
        min_snr_db=90,
        **NARROW,  # type: ignore
    )
    assert record.choice is not None
    assert record.choice.asked_db == 90
    assert record.choice.aim is not None
    assert 25 < record.choice.aim.limit_db < 60
    assert record.choice.aim.found_db >= record.choice.aim.limit_db


def test_sums_keep_8_bits_and_readers_narrow_them(tmp_path: Path) -> None:
    source, target = residual_cnn(tmp_path / "net.onnx"), tmp_path / "q.onnx"
    quantize_onnx(source, target, calibration=images(32), min_snr_db=1, **NARROW)  # type: ignore
    highest = {
        t.name.removesuffix("_quantized_high"): int(onnx.numpy_helper.to_array(t))
        for t in onnx.load(target).graph.initializer
        if t.name.endswith("_high")
    }
    assert "p1" not in highest  # also what the sum reads
    assert highest["Conv_c2_read"] == 15
    assert highest["r2"] == 15  # one layer alone reads it


def test_scales_per_neuron_are_refused_beside_a_choice(tmp_path: Path) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    with pytest.raises(UsageError, match=r"min.snr, or give 0"):
        quantize_onnx(
            source, tmp_path / "q.onnx", calibration=images(8), activation_scales="auto",
            min_snr_db=20,
        )  # fmt: skip


def test_refining_takes_equal_channels_where_they_leave_less_noise(tmp_path: Path) -> None:
    source, samples = unequal(tmp_path / "net.onnx"), images(64)
    x = images(32, seed=7)["input"]
    plain = quantize_onnx(source, tmp_path / "plain.onnx", calibration=samples)
    refined = quantize_onnx(source, tmp_path / "q.onnx", calibration=samples, refine=True)
    assert plain.choice is None
    assert refined.choice is not None
    assert refined.choice.equalized
    exact = run(source, x)
    gained = signal_to_noise_db(exact, run(tmp_path / "q.onnx", x)) - signal_to_noise_db(
        exact, run(tmp_path / "plain.onnx", x)
    )
    assert gained > 1


def saturating(path: Path) -> Path:
    """A classifier whose softmax is all but certain of every input."""
    weights = random_weights({"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w4": (5, 8)})
    weights["w4"] *= 100
    nodes = [
        node("Conv", "input w1", "c1", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 w2", "c2", pads=[1, 1, 1, 1]),
        node("Relu", "c2", "r2"),
        node("GlobalAveragePool", "r2", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f w4", "logits", transB=1),
        node("Softmax", "logits", "output", axis=1),
    ]
    return save(path, nodes, weights, ([1, 3, 8, 8], [1, 5]))


def test_noise_is_judged_before_a_softmax_hides_it(tmp_path: Path) -> None:
    source = saturating(tmp_path / "net.onnx")
    record = quantize_onnx(
        source,
        tmp_path / "q.onnx",
        calibration=images(32),
        min_snr_db=45,
        **NARROW,  # type: ignore
    )
    assert record.fidelity.snr_db["output"] > 100  # which any bits would leave
    assert max(layer.weights for layer in record.layers) == 8
    model = onnx.load(tmp_path / "q.onnx")
    assert [value.name for value in model.graph.output] == ["output"]


@pytest.mark.parametrize("end", ["ArgMax", "TopK"])
def test_bits_are_chosen_by_what_an_index_is_taken_of(tmp_path: Path, end: str) -> None:
    model = onnx.load(saturating(tmp_path / "net.onnx"))
    model.graph.node.pop()
    del model.graph.output[:]
    if end == "ArgMax":
        model.graph.node.append(helper.make_node("ArgMax", ["logits"], ["best"], "best", axis=1))
    else:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2]), "two"))
        model.graph.node.append(helper.make_node("TopK", ["logits", "two"], ["top", "best"], "top"))
        model.graph.output.append(helper.make_tensor_value_info("top", 1, [1, 2]))
    model.graph.output.append(helper.make_tensor_value_info("best", 7, [1, 1 + (end == "TopK")]))
    onnx.save(model, tmp_path / "net.onnx")
    record = quantize_onnx(
        tmp_path / "net.onnx",
        tmp_path / "q.onnx",
        calibration=images(32),
        min_snr_db=34,
        **NARROW,  # type: ignore
    )
    assert record.choice is not None
    assert record.choice.aim is not None
    assert record.choice.aim.found_db < 60  # of the logits, not of indices
    assert max(layer.weights for layer in record.layers) == 8
    assert record.fidelity.snr_db["best"] >= 9  # at most one index in eight is another


def test_large_networks_keep_the_same_bits_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "REFINED_BYTES", 1)
    source, target = residual_cnn(tmp_path / "net.onnx"), tmp_path / "q.onnx"
    found = quantize_onnx(source, target, weights=4, calibration=images(8), min_snr_db=60)
    assert found.choice is None
    assert onnx_file.ALL_ALIKE in found.notes
    assert "snr" not in found.recipe
