"""The wheel alone, without extras, in a clean environment of each Python that is here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.compile.frontend.onnx_files import OnnxFile

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
# What comes only with an extra, or for another package's sake.
UNWANTED = {"torch", "scipy", "scikit-learn", "brevitas", "plotly", "pandas", "pillow", "zeus"}

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that succeeds, in an environment without this project's own."""
    outside = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=outside, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps")
    run(*pip, "--wheel-dir", folder, ROOT, cwd=folder)
    (found,) = folder.glob("zapdeploy-*.whl")
    return found


def network(path: Path) -> None:
    """A convolution, an activation with a look-up, a mean, a matrix product: in float."""
    random = np.random.default_rng(0)
    file = OnnxFile()
    x = file.input("frames", (1, 3, 16, 16))
    kernels = file.constant(random.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32))
    x = file.node("Conv", [x, kernels], pads=[1, 1, 1, 1])
    x = file.node("Erf", [file.node("Relu", [x])])
    x = file.node("Flatten", [file.node("GlobalAveragePool", [x])])
    weights = file.constant(random.normal(0, 0.3, (8, 5)).astype(np.float32))
    file.output(file.node("MatMul", [x, weights], "forecast"))
    file.save(path)
    frames = random.normal(0, 1, (4, 3, 16, 16)).astype(np.float32)
    np.savez(path.with_name("frames.npz"), frames=frames)


@pytest.fixture(params=VERSIONS)
def environment(request: pytest.FixtureRequest, wheel: Path, tmp_path: Path) -> Path:
    """The programs of a clean environment that has the wheel and what it asks for."""
    finder = subprocess.run(
        [str(ROOT / ".ci/find_python"), request.param], capture_output=True, text=True
    )
    if finder.returncode:
        pytest.skip(f"there is no Python {request.param} here")
    run(finder.stdout.strip(), "-m", "venv", "clean", cwd=tmp_path)
    programs = tmp_path / "clean" / ("Scripts" if os.name == "nt" else "bin")
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--constraint", ROOT / "constraints.txt", wheel, cwd=tmp_path)
    return programs


def test_it_quantizes_compiles_and_simulates(environment: Path, tmp_path: Path) -> None:
    network(tmp_path / "model.onnx")
    zapdeploy = environment / "zapdeploy"
    quantizing = ("quantize", "model.onnx", "--calibration", "frames.npz", "-o", "int8.onnx")
    run(zapdeploy, *quantizing, cwd=tmp_path)
    run(zapdeploy, "compile", "int8.onnx", "--target", "northpole-sim", cwd=tmp_path)
    simulating = ("simulate", "int8.zap", "--inputs", "frames.npz", "--check", "--json")
    found = json.loads(run(zapdeploy, *simulating, cwd=tmp_path))
    assert found["check"]["passed"], found["check"]
    run(zapdeploy, "bench", "--help", cwd=tmp_path)
    installed = run(environment / "python", "-m", "pip", "list", "--format=json", cwd=tmp_path)
    names = {package["name"].lower() for package in json.loads(installed)}
    assert not names & UNWANTED
