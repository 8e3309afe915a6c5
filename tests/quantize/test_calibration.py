"""Calibration inputs and what is measured with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.quantize.networks import images, node, random_weights, residual_cnn, run, save
from zapdeploy.errors import DataError
from zapdeploy.quantize.calibration import measure
from zapdeploy.quantize.network import Network
from zapdeploy.quantize.samples import Arrays, check_samples, digest, random_samples


def network(path: Path, batch: int | str = 1) -> Network:
    return Network(onnx.load(residual_cnn(path / "net.onnx", batch)))


def refusal(found: Network, samples: Arrays) -> str:
    with pytest.raises(DataError) as caught:
        check_samples(found, samples)
    return str(caught.value)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            {"x": np.zeros((2, 3, 8, 8))},
            "calibration must hold the inputs ['input'], not ['x']; "
            "name the arrays as the ONNX file names its inputs",
        ),
        (
            {"input": np.zeros((2, 3, 9, 8))},
            "shape must be [count, 3, 8, 8], not [2, 3, 9, 8] (calibration input 'input'); "
            "reshape it",
        ),
        (
            {"input": np.zeros((0, 3, 8, 8))},
            "samples must be at least one, not none (calibration input 'input'); "
            "give representative inputs",
        ),
        (
            {"input": np.zeros((2, 3, 8, 8), np.int64)},
            "values must be floating point, not int64 (calibration input 'input'); convert them",
        ),
        (
            {"input": np.full((2, 3, 8, 8), np.nan)},
            "values must be finite, not NaN or infinite (calibration input 'input'); replace them",
        ),
        (
            {"input": np.full((2, 3, 8, 8), 0.5)},
            "values must vary, not be all 0.5 (calibration input 'input'); "
            "give representative inputs",
        ),
    ],
)
def test_refusals(tmp_path: Path, samples: Arrays, message: str) -> None:
    assert refusal(network(tmp_path), samples) == message


def test_samples_must_fill_the_batch(tmp_path: Path) -> None:
    assert refusal(network(tmp_path, batch=2), images(3)) == (
        "samples must be a multiple of the model's batch of 2, not 3 "
        "(calibration input 'input'); cut or repeat them"
    )


def test_an_open_batch_takes_any_count(tmp_path: Path) -> None:
    found = network(tmp_path, batch="n")
    check_samples(found, images(11))
    assert measure(found, ("input",), images(11)).histograms["input"].counts.sum() == 11 * 3 * 64


def test_a_last_batch_with_fewer_samples_counts_for_as_many(tmp_path: Path) -> None:
    """Eight samples of zeros and one of ones: the mean is a ninth, not a half."""
    samples = {"input": np.zeros((9, 3, 8, 8), np.float32)}
    samples["input"][8] = 1
    seen = measure(network(tmp_path, batch="n"), ("input",), samples)
    np.testing.assert_allclose(seen.means["c1"], 1 / 9)


def test_activations_that_overflow_are_refused(tmp_path: Path) -> None:
    path = residual_cnn(tmp_path / "net.onnx")
    model = onnx.load(path)
    first = model.graph.initializer[0]
    huge = numpy_helper.to_array(first) * np.float32(1e30)
    first.CopyFrom(numpy_helper.from_array(huge, first.name))
    samples = {"input": images(2)["input"] * np.float32(1e10)}
    with pytest.raises(DataError) as caught:
        measure(Network(model), ("input", "r1"), samples)
    assert str(caught.value) == (
        "activations must be finite, not NaN or infinite (tensor 'r1'); "
        "check the calibration inputs and the weights"
    )


def test_inputs_that_the_model_refuses(tmp_path: Path) -> None:
    nodes = [node("Reshape", "input shape", "s"), node("Gemm", "s w", "output")]
    weights = random_weights({"w": (4, 4)}) | {"shape": np.array([2, 4], np.int64)}
    path = save(tmp_path / "net.onnx", nodes, weights, (["n", "m"], [2, 4]))
    with pytest.raises(DataError, match="calibration must be inputs that the model runs on, not"):
        measure(Network(onnx.load(path)), ("input", "output"), {"input": np.ones((3, 5))})


@pytest.mark.parametrize("batch", [1, 2, "n"])
def test_statistics_are_those_of_the_tensors(tmp_path: Path, batch: int | str) -> None:
    found = network(tmp_path, batch)
    samples = images(4)
    seen = measure(found, ("input", "r3", "output"), samples)
    output = run(tmp_path / "net.onnx", samples["input"])
    for name, values in (("input", samples["input"]), ("output", output)):
        histogram = seen.histograms[name]
        assert histogram.counts.sum() == values.size
        assert histogram.low == pytest.approx(values.min(), rel=1e-5)
        assert histogram.high == pytest.approx(values.max(), rel=1e-5)
    mean = samples["input"].mean(axis=(0, 2, 3))
    np.testing.assert_allclose(seen.means["c1"], mean, rtol=1e-4)
    assert seen.means["output"].shape == (8,)


def test_random_samples_fit_the_network_and_its_batch(tmp_path: Path) -> None:
    samples = random_samples(network(tmp_path, batch=3), seed=1)
    assert samples["input"].shape == (9, 3, 8, 8)
    again = random_samples(network(tmp_path, batch=3), seed=1)
    np.testing.assert_array_equal(samples["input"], again["input"])


def test_digest_depends_on_values_names_and_shapes_only() -> None:
    one, two = np.arange(4.0), np.arange(3.0)
    assert digest({"a": one, "b": two}) == digest({"b": two, "a": one.astype(np.float32)})
    assert digest({"a": one}) != digest({"b": one})
    assert digest({"a": one}) != digest({"a": one.reshape(2, 2)})
    assert digest({"a": one}) != digest({"a": one + 1})
