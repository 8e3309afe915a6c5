"""What is said of a quantized network's outputs, against plain arithmetic over both files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.quantize.networks import (
    images,
    residual_cnn,
    run,
    signal_to_noise_db,
)
from zapdeploy.quantize import quantize_onnx
from zapdeploy.quantize.held_back import FEWEST, MOST, hold_back
from zapdeploy.quantize.network import Network


def network_of(batch: int | str) -> Network:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 2])
    graph = helper.make_graph([], "g", [value], [])
    return Network(helper.make_model(graph))


@given(st.integers(1, 90), st.sampled_from([1, 3, "n"]))
def test_samples_held_back_are_a_quarter_and_none_is_lost(count: int, batch: int | str) -> None:
    each = batch if isinstance(batch, int) else 1
    x = np.arange(count * each * 2, dtype=np.float32).reshape(-1, 2)
    split = hold_back(network_of(batch), {"x": x})
    if count < FEWEST:
        assert not split.held_back
        assert split.fitted["x"] is split.judged["x"] is x
        return
    assert len(split.judged["x"]) == min(count // 4, MOST) * each
    both = np.concatenate([split.fitted["x"], split.judged["x"]])
    assert np.array_equal(np.sort(both, axis=0), x)
    whole = split.judged["x"].reshape(-1, each, 2)[:, 0, 0] / (2 * each)
    assert np.array_equal(whole, whole.astype(int))  # whole batches of the model


def test_what_every_run_reads_alike_stays_whole() -> None:
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in "xs"]
    network = Network(helper.make_model(helper.make_graph([], "g", value, [])))
    samples = {"x": np.zeros((8, 2), np.float32), "s": np.ones((1, 2), np.float32)}
    split = hold_back(network, samples)
    assert [len(split.fitted[n]) for n in "xs"] == [6, 1]
    assert [len(split.judged[n]) for n in "xs"] == [2, 1]


@pytest.mark.parametrize(
    "options",
    [{}, {"form": "qoperator"}, {"weights": 4, "activations": 4}, {"weights": 2, "form": "qcdq"}],
)
def test_the_ratio_is_that_of_both_files_on_the_samples_held_back(
    tmp_path: Path, options: dict[str, object]
) -> None:
    source, target = residual_cnn(tmp_path / "net.onnx"), tmp_path / "q.onnx"
    samples = images(32)
    record = quantize_onnx(source, target, calibration=samples, **options)  # type: ignore[arg-type]
    seen = samples["input"][2::4]
    expected = signal_to_noise_db(run(source, seen), run(target, seen))
    assert record.fidelity.held_back
    assert (record.fidelity.samples, record.calibration_samples) == (8, 24)
    assert record.fidelity.snr_db["output"] == pytest.approx(expected, abs=0.05)
