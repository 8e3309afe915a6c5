"""A forecaster that is pushed frame by frame gives what `evaluate` scores, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.streaming.conftest import NEURONS, activity
from zapdeploy.benchmarks.accuracy.contenders import contenders
from zapdeploy.errors import DataError, ModelError, UsageError
from zapdeploy.streaming import Forecaster


@pytest.mark.parametrize("engine", ["cpu", "northpole-sim"])
@pytest.mark.parametrize("name", ["time-mix-c4", "time-mix-c256"])
def test_values_are_those_that_evaluate_scores(models: Path, name: str, engine: str) -> None:
    path = models / f"{name}-int8.onnx"
    forecaster = Forecaster(path, engine=engine)
    forms = list(contenders(str(path), NEURONS, simulate=True))
    judged = forms[engine != "cpu"].forecast
    assert judged is not None
    traces, context = activity(forecaster.context + 9), forecaster.context
    for last, frame in enumerate(traces):
        found = forecaster.push(frame)
        if last < context - 1:
            assert found is None
            continue
        window = traces[None, last - context + 1 : last + 1]
        stimuli = np.zeros((1, 32, 26), np.float32)
        np.testing.assert_array_equal(found, judged(window, stimuli)[0])


def test_float_in_onnxruntime_equals_evaluate(models: Path) -> None:
    path = models / "time-mix-c256.onnx"
    forecaster = Forecaster(path)
    judged = next(contenders(str(path), NEURONS)).forecast
    traces = activity(256, seed=3)
    found = [forecaster.push(frame) for frame in traces][-1]
    assert judged is not None
    np.testing.assert_array_equal(found, judged(traces[None], np.zeros((1, 32, 26)))[0])


def test_what_is_kept_is_the_frames_values_whatever_their_type(models: Path) -> None:
    path, traces = models / "time-mix-c4-int8.onnx", activity(4).astype(np.float16)
    narrow, wide = Forecaster(path), Forecaster(path)
    for frame in traces:
        got, wanted = narrow.push(frame), wide.push(frame.astype(np.float32))
    np.testing.assert_array_equal(got, wanted)


def test_reset_forgets(models: Path) -> None:
    forecaster = Forecaster(models / "time-mix-c4-int8.onnx")
    traces = activity(12)
    for frame in traces[:8]:
        forecaster.push(frame)
    forecaster.reset()
    again = [forecaster.push(frame) for frame in traces[8:]]
    assert again[:3] == [None] * 3
    fresh = Forecaster(models / "time-mix-c4-int8.onnx")
    wanted = [fresh.push(frame) for frame in traces[8:]][-1]
    np.testing.assert_array_equal(again[3], wanted)


def test_the_chips_own_time_stands_beside(models: Path) -> None:
    simulated = Forecaster(models / "time-mix-c4-int8.onnx", engine="northpole-sim")
    assert 0 < (simulated.engine.simulated_s or 0) < 1e-3
    assert Forecaster(models / "time-mix-c4-int8.onnx").engine.simulated_s is None


def test_wrong_use_is_said(models: Path, tmp_path: Path) -> None:
    forecaster = Forecaster(models / "time-mix-c4-int8.onnx")
    with pytest.raises(DataError, match=r"frame must be \[16 neurons\], not \[15\]"):
        forecaster.push(np.zeros(15, np.float32))
    with pytest.raises(DataError, match="must wait for 4 frames, not be asked after 0"):
        forecaster.forecast()
    with pytest.raises(UsageError, match="engine must be one of cpu, gpu, northpole-sim"):
        Forecaster(models / "time-mix-c4-int8.onnx", engine="tpu")
    with pytest.raises(ModelError, match="model must be there, not missing"):
        Forecaster(tmp_path / "none.onnx")
    with pytest.raises(UsageError, match=r"model must be an \.onnx or \.zap file"):
        Forecaster(tmp_path)
    export = models / "three.onnx"
    from zapdeploy.forecasters import export_model

    export_model("time-mix-c4", export, neurons=NEURONS, batch=3)
    with pytest.raises(ModelError, match="one window at a time to be streamed, not 3"):
        Forecaster(export)
