"""Whole networks core by core: equal to the graph in every bit, proved to fit, in 2 GB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zapdeploy as zd
from tests.full_size.conftest import Make
from zapdeploy.arrays import save_arrays
from zapdeploy.compile.program.layer import lower
from zapdeploy.forecasters import export_model, sample_inputs
from zapdeploy.quantize import quantize_onnx
from zapdeploy.sim.core_array import agreement
from zapdeploy.sim.frames import first_state
from zapdeploy.sim.memory_verifier import certify

pytestmark = pytest.mark.slow

FILES = (
    ("resnet50", 8, "qdq"),
    ("resnet50", 4, "packed"),
    ("tsmixer-c4", 8, "qdq"),
    ("tsmixer-c4", 4, "packed"),
    ("tsmixer-c256", 8, "qdq"),
    ("time-mix-c256", 8, "qdq"),
    ("bert-base", 8, "qdq"),
    ("bert-base", 4, "packed"),
    ("decoder-layer", 8, "qdq"),
    ("poco-c4", 8, "qdq"),
)


@pytest.mark.parametrize(("name", "bits", "form"), FILES)
def test_equals_the_graph_in_every_bit(make: Make, name: str, bits: int, form: str) -> None:
    pipeline = zd.compile(make(name, bits, form))
    assert pipeline.fits
    inputs = {**first_state(pipeline.interface), **sample_inputs(name, 1)}
    found = agreement(pipeline, inputs)
    assert found.elements > 0
    assert found.equal == found.elements


@pytest.mark.parametrize("name", ["tide-c4", "tide-c256"])
def test_tide(tmp_path: Path, name: str) -> None:
    """At 1,000 neurons: a residual network per neuron, and one of the stimuli alone."""
    samples = sample_inputs(name, 4, neurons=1000)
    export_model(name, tmp_path / "float.onnx", neurons=1000)
    quantize_onnx(tmp_path / "float.onnx", tmp_path / "int8.onnx", calibration=samples)
    pipeline = zd.compile(tmp_path / "int8.onnx")
    found = agreement(pipeline, {key: value[:1] for key, value in samples.items()})
    assert found.equal == found.elements == 32 * 1000


@pytest.mark.parametrize(("name", "bits", "form"), FILES)
def test_memory_is_proved(make: Make, name: str, bits: int, form: str) -> None:
    for program in zd.compile(make(name, bits, form)).stages:
        proof = certify(lower(program))
        assert proof.peak_bytes.max() <= program.memory.peak <= proof.limit


def test_a_batch_of_resnet50(make: Make) -> None:
    """Eight frames at once: frames are cut over the cores, weights are shared."""
    pipeline = zd.compile(make("resnet50", 4, "packed"), batch=8)
    frames = sample_inputs("resnet50", 8)
    found = agreement(pipeline, frames)
    assert found.equal == found.elements == 8 * 1000


@pytest.mark.parametrize("name", ["resnet50", "tsmixer-c4"])
def test_simulates_within_2_gb(make: Make, tmp_path: Path, name: str) -> None:
    """Peak resident memory of the whole command: VmHWM, since getrusage counts this process too."""
    program, inputs = tmp_path / "n.zap", tmp_path / "x.npz"
    zd.compile(make(name, 8, "qdq"), output=program)
    save_arrays(inputs, {k: np.asarray(v) for k, v in sample_inputs(name, 1).items()})
    code = (
        "import sys; from zapdeploy.cli.app import run; status = run(sys.argv[1:]);"
        "lines = open('/proc/self/status').read().splitlines();"
        "print(next(l for l in lines if l.startswith('VmHWM')).split()[1], file=sys.stderr);"
        "sys.exit(status)"
    )
    arguments = ["simulate", str(program), "--inputs", str(inputs)]
    arguments += ["--outputs", str(tmp_path / "y.npz"), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert len(json.loads(done.stdout)["certificate"]) == 1
    assert int(done.stderr.split()[-1]) * 1024 < 2e9
