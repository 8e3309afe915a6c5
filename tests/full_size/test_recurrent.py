"""A GRU and an LSTM forecaster: trained, quantized, compiled, run to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from zapdeploy.api import compile_model
from zapdeploy.quantize import quantize_onnx
from zapdeploy.sim.check import check
from zapdeploy.sim.core_array import agreement
from zapdeploy.sim.functional import Network

torch = pytest.importorskip("torch")
Floats = NDArray[np.float32]
CONTEXT, NEURONS, HIDDEN = 12, 70, 48
WORST = 1.02  # of the float error: what int8 may cost


def activity(seed: int, frames: int) -> Floats:
    """Oscillations that are mixed into many neurons, with noise: float32 [frames, neurons]."""
    rng = np.random.default_rng(7)
    mix = rng.normal(size=(5, NEURONS))
    periods = rng.uniform(15, 60, 5)
    noise = np.random.default_rng(seed)
    phases = np.cumsum(2 * np.pi / periods + noise.normal(0, 0.03, (frames, 5)), axis=0)
    traces = np.sin(phases) @ mix + 0.1 * noise.normal(size=(frames, NEURONS))
    return np.asarray(traces, np.float32)


def windows(traces: Floats) -> tuple[Floats, Floats]:
    count = len(traces) - CONTEXT
    x = np.stack([traces[i : i + CONTEXT] for i in range(count)])
    return x, traces[CONTEXT:]


def trained(kind: str, path: Path) -> None:
    """A forecaster of the next frame as an ONNX file."""
    torch.manual_seed(3)

    class Forecaster(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(torch.nn, kind)(NEURONS, HIDDEN, batch_first=True)
            self.out = torch.nn.Linear(HIDDEN, NEURONS)

        def forward(self, x: Any) -> Any:
            states, _ = self.cell(x)
            return x[:, -1] + self.out(states[:, -1])

    model = Forecaster()
    x, y = (torch.from_numpy(a) for a in windows(activity(1, 3000)))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(300):
        chosen = torch.randint(len(x), (64,), generator=torch.Generator().manual_seed(step))
        loss = (model(x[chosen]) - y[chosen]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.onnx.export(model.eval(), (x[:1],), str(path), dynamo=False, opset_version=17,
                      input_names=["x"], output_names=["y"])  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_recurrent_forecaster(kind: str, tmp_path: Path) -> None:
    source, quantized = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    trained(kind, source)
    quantize_onnx(source, quantized, calibration={"x": windows(activity(2, 300))[0]})
    program = compile_model(quantized)
    assert program.fits
    x, y = windows(activity(4, 160))
    judged = check(program.graph, quantized, {"x": x[:1]})
    assert judged.passed, judged.failures
    assert agreement(program, {"x": x[:1]}).passed
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    run = Network.of(program.graph).run
    exact = np.concatenate([session.run(None, {"x": x[i : i + 1]})[0] for i in range(len(x))])
    ours = np.concatenate([run({"x": x[i : i + 1]})["y"] for i in range(len(x))])
    error, before = np.abs(ours - y).mean(), np.abs(exact - y).mean()
    naive = np.abs(x[:, -1] - y).mean()
    print(f"{kind}: MAE float {before:.4f}, int8 {error:.4f}, last frame {naive:.4f}")
    assert before < naive
    assert error < WORST * before
