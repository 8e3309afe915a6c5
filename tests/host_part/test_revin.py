"""The host's part of reversible instance normalisation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from zapdeploy.errors import ModelError
from zapdeploy.host_part import RevIN, host_normalisation, normalised_inputs
from zapdeploy.host_part.revin import KEY

SCALE, BIAS = np.array([0.5, 1, 2], np.float32), np.array([0, 1, -1], np.float32)
HOST = RevIN(SCALE, BIAS)
WINDOWS = np.random.default_rng(0).random((2, 16, 3), np.float32)


def test_every_neuron_has_the_trained_mean_and_spread() -> None:
    """By hand: mean `bias`, deviation `scale`, but for the variance floor of 1e-5."""
    normal, mean, deviation = HOST.normalise(WINDOWS)
    np.testing.assert_allclose(normal.mean(axis=1), [BIAS, BIAS], atol=1e-5)
    np.testing.assert_allclose(normal.std(axis=1), [SCALE, SCALE], rtol=1e-3)
    np.testing.assert_allclose(mean[:, 0], WINDOWS.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(deviation[:, 0] ** 2, WINDOWS.var(axis=1) + 1e-5, rtol=1e-4)


def test_restoring_undoes_it() -> None:
    normal, mean, deviation = HOST.normalise(WINDOWS)
    np.testing.assert_allclose(HOST.restore(normal, mean, deviation), WINDOWS, atol=1e-6)


def test_what_is_normalised_already_stays() -> None:
    """So that inputs may be given in either form to a file that is being quantized."""
    once = HOST.normalise(WINDOWS)[0]
    np.testing.assert_allclose(HOST.normalise(once)[0], once, atol=1e-3)


def test_it_is_the_layer_that_is_trained() -> None:
    torch = pytest.importorskip("torch")
    from zapdeploy.forecasters.tsmixer import ReversibleInstanceNorm

    layer = ReversibleInstanceNorm(3)
    with torch.no_grad():
        layer.scale.copy_(torch.from_numpy(SCALE))
        layer.bias.copy_(torch.from_numpy(BIAS))
        expected, *statistics = layer.normalise(torch.from_numpy(WINDOWS))
        restored = layer.restore(expected + 1, *statistics).numpy()
    found, mean, deviation = HOST.normalise(WINDOWS)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(HOST.restore(found + 1, mean, deviation), restored, atol=1e-5)


def test_a_file_says_it_in_its_metadata() -> None:
    read = host_normalisation(HOST.notes(), "m.onnx")
    assert read is not None
    np.testing.assert_array_equal(read.scale, SCALE)
    np.testing.assert_array_equal(read.bias, BIAS)
    assert host_normalisation({"author": "somebody"}, "m.onnx") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must hold scale and bias, not JSONDecodeError"),
        ('{"scale": ""}', "must hold scale and bias, not KeyError"),
        ('{"scale": "AAA", "bias": ""}', "must hold scale and bias, not Error"),
        ('{"scale": "AAAAAA==", "bias": ""}', "must hold as many scales as biases, not 1 and 0"),
    ],
)
def test_damaged_metadata(text: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        host_normalisation({KEY: text}, "m.onnx")
    assert message in str(caught.value)
    assert str(caught.value).endswith("(m.onnx); export the model again")


def test_inputs_of_a_network() -> None:
    """Traces are normalised; what has another shape, and a file with all inside, is left alone."""
    stimuli = np.ones((2, 32, 26), np.float32)
    given = {"input": WINDOWS, "covariates": stimuli}
    found = normalised_inputs(given, HOST)
    np.testing.assert_array_equal(found["input"], HOST.normalise(WINDOWS)[0])
    assert found["covariates"] is stimuli
    assert normalised_inputs(given, None)["input"] is WINDOWS
    assert json.loads(HOST.notes()[KEY]).keys() == {"scale", "bias"}
