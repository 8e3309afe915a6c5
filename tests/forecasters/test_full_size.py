"""All 71,721 neurons: export, quantize, compile, and forecast in ONNX Runtime and the simulator.

Weights are random: what is shown is that the files fit, and that they forecast the same everywhere.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from zapdeploy.api import compile_model
from zapdeploy.benchmarks.accuracy.evaluation import evaluate_models
from zapdeploy.forecasters import export_model
from zapdeploy.forecasters.calibration import calibration_windows
from zapdeploy.forecasters.folder import ForecasterSpec
from zapdeploy.quantize import quantize_onnx
from zapdeploy.recordings.conditions import Split
from zapdeploy.recordings.recording import Recording
from zapdeploy.recordings.synthetic import synthetic_windows
from zapdeploy.recordings.zapbench import stimulus_condition

NEURONS, FRAMES = 71_721, 440
# Below 8 bits ONNX Runtime computes in floating point, which steps over a few ties.
TOLERANCE = {8: 0.0, 4: 1e-3}


@pytest.fixture(scope="module")
def recording() -> Recording:
    """A short one, long enough for a context of 256: a single condition."""
    return Recording(
        synthetic_windows(NEURONS, FRAMES, 1)[0],
        np.zeros((FRAMES, 26), np.float32),
        (stimulus_condition("short", 0, FRAMES, flag=1),),
    )


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(
    ("name", "windows"),
    [
        ("linear-c4", 2),
        ("time-mix-c4", 2),
        ("tsmixer-c4", 2),
        ("linear-c256", 2),
        ("time-mix-c256", 1),
        ("tsmixer-c256", 1),
    ],
)
def test_a_full_round(
    tmp_path: Path, recording: Recording, name: str, windows: int, bits: int
) -> None:
    """With 256 frames RevIN is the host's, so that a frame is 18 MB to the chip and not 73."""
    assert len(recording.conditions[0].window_starts(Split.TEST, 4, 32)) == 56
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
    plain, runtime, simulated = evaluate_models(models, recording, windows=windows)
    found, expected = simulated.scores.mae, runtime.scores.mae
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE[bits])
    assert (np.array(expected) != plain.scores.mae).any()
