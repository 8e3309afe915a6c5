"""All 71,721 neurons: export, quantize, compile, and forecast in ONNX Runtime and the simulator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from zapdeploy.api import compile_model
from zapdeploy.benchmarks.evaluation import evaluate_models
from zapdeploy.forecasters import export_model, synthetic_windows
from zapdeploy.forecasters.calibration import calibration_windows
from zapdeploy.forecasters.conditions import Condition, Split
from zapdeploy.forecasters.folder import ForecasterSpec
from zapdeploy.forecasters.recording import Recording
from zapdeploy.quantize import quantize_onnx

NEURONS, FRAMES = 71_721, 400


@pytest.fixture(scope="module")
def recording() -> Recording:
    """A short one: a single condition."""
    return Recording(
        synthetic_windows(NEURONS, FRAMES, 1)[0],
        np.zeros((FRAMES, 26), np.float32),
        (Condition("short", 0, FRAMES, flag=1),),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear-c4", "time-mix-c4", "tsmixer-c4"])
@pytest.mark.parametrize("bits", [8, 4])
def test_a_full_round(tmp_path: Path, recording: Recording, name: str, bits: int) -> None:
    assert len(recording.conditions[0].window_starts(Split.TEST, 4)) == 48
    export_model(name, tmp_path / "float.onnx")
    quantize_onnx(
        tmp_path / "float.onnx",
        tmp_path / "q.onnx",
        weights=bits,
        activations=bits,
        calibration=calibration_windows(recording, ForecasterSpec(name, NEURONS), count=2),
    )
    program = compile_model(tmp_path / "q.onnx", output=tmp_path / "q.zap")
    assert program.fits
    models = [str(tmp_path / file) for file in ("float.onnx", "q.onnx", "q.zap")]
    plain, runtime, simulated = evaluate_models(models, recording, windows=2)
    np.testing.assert_allclose(simulated.scores.mae, runtime.scores.mae, rtol=1e-3)
    assert (np.array(runtime.scores.mae) != plain.scores.mae).any()
