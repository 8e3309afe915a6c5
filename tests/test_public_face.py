"""What Python shows of zapdeploy: names, signatures, results, errors."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zapdeploy as zd
from tests.benchmarks.chips import small_model
from tests.cli.conftest import Call
from tests.cli.conftest import zapdeploy as zapdeploy  # a fixture
from zapdeploy.hardware_targets import target_text

OUTSIDE = """\
import zapdeploy as zd

program = zd.compile("model.onnx", target="northpole-sim", batch=2)
rate: float = zd.simulate(program).throughput_fps
outputs = zd.run(program, {})
shape: tuple[int, ...] = outputs["y"].shape
"""


@pytest.fixture
def program(tmp_path: Path) -> zd.Pipeline:
    return zd.compile(small_model(tmp_path), batch=2)


@pytest.fixture
def too_large(tmp_path: Path) -> zd.Pipeline:
    """The same for a chip whose cores have next to no memory."""
    text = target_text("northpole-sim")[1].replace('"768 KiB"', '"1 KiB"')
    text = text[: text.index("[totals]")] + text[text.index("[published.resnet50]") :]
    (tmp_path / "tiny.toml").write_text(text)
    return zd.compile(small_model(tmp_path, width=64), tmp_path / "tiny.toml", chips=1)


def test_every_public_name_is_there() -> None:
    assert set(zd.__all__) <= set(dir(zd))
    for name in zd.__all__:
        assert callable(getattr(zd, name)), name
        assert getattr(zd, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        _ = zd.frobnicate  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["compile", "quantize", "simulate", "run", "check", "sweep"])
def test_signatures_name_their_parameters(name: str) -> None:
    parameters = inspect.signature(getattr(zd, name)).parameters
    assert not {"arguments", "options", "args", "kwargs"} & set(parameters)
    assert len(parameters) > 2


def test_a_type_checker_sees_them_from_outside(tmp_path: Path) -> None:
    """One run over three files; with the cache that `make types` leaves it takes seconds."""
    wrong = {
        "right": OUTSIDE,
        "argument": OUTSIDE.replace("batch=2", "bach=2"),
        "result": OUTSIDE.replace("rate: float", "rate: str"),
    }
    for name, code in wrong.items():
        (tmp_path / f"{name}.py").write_text(code)
    command = [sys.executable, "-m", "mypy", *(str(tmp_path / f"{name}.py") for name in wrong)]
    root = Path(zd.__file__).parents[1]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout
    lines = [line for line in found.splitlines() if " error: " in line]
    assert len(lines) == 2, found
    assert 'Unexpected keyword argument "bach"' in next(x for x in lines if "argument.py" in x)
    assert "Incompatible types in assignment" in next(x for x in lines if "result.py" in x)


def test_a_network_that_does_not_fit_is_neither_run_nor_timed(too_large: zd.Pipeline) -> None:
    assert repr(too_large).endswith("does not fit>")
    for use in (
        lambda: zd.simulate(too_large),
        lambda: zd.simulate(too_large, level="estimate"),
        lambda: zd.run(too_large, np.zeros((1, 64), np.float32)),
    ):
        with pytest.raises(zd.DoesNotFitError, match=r"does not fit on .* too many\. Fix: use "):
            use()


def test_errors_speak_of_arguments_here_and_of_options_there(
    zapdeploy: Call, tmp_path: Path
) -> None:
    model = small_model(tmp_path)
    with pytest.raises(zd.UsageError, match=r"^micro_batch must be 1 or more, not 0"):
        zd.compile(model, batch=2, micro_batch=0)
    called = zapdeploy("compile", model, "--batch", 2, "--micro-batch", 0)
    assert called.status == 2
    assert called.err.startswith("zapdeploy: --micro-batch must be 1 or more, not 0")


def test_a_result_says_what_it_is(program: zd.Pipeline) -> None:
    result = zd.simulate(program, frame_rate_hz=10)
    assert len(repr(result)) < 160
    assert "frames/s (simulated)" in repr(result)
    assert "frames/s (modelled)" in repr(zd.simulate(program, level="estimate"))
    html = result._repr_html_()
    assert html.startswith("<table>")
    assert "keeps up with 10 Hz" in html


def test_results_become_frames_and_figures(program: zd.Pipeline) -> None:
    pytest.importorskip("pandas")
    result = zd.simulate(program)
    assert list(result.to_frame()["name"]) == [layer.name for layer in result.layers]
    assert [bar.name for bar in result.plot().data] == ["scheduled", "least possible"]


def test_run_gives_outputs_by_name(program: zd.Pipeline) -> None:
    """Core by core and whole are the same integers; several batches go one after the other."""
    (given,) = program.inputs
    (made,) = program.outputs
    frames = np.random.default_rng(0).normal(size=(6, *given.shape[1:])).astype(np.float32)
    found = zd.run(program, {given.name: frames})
    assert found[made.name].shape == (6, *made.shape[1:])
    alone = zd.run(program, frames, core_by_core_values=False)
    np.testing.assert_array_equal(alone[made.name], found[made.name])
    first = zd.run(program, frames[:2])
    np.testing.assert_array_equal(first[made.name], found[made.name][:2])


def test_evaluate_scores_what_needs_no_network() -> None:
    found = zd.evaluate(["mean"], "synthetic", neurons=8, windows=2)
    assert found.models[0].contender.model == "mean"
    assert {"model", "runner", "precision", "step", "mae"} == set(found.records()[0])
    assert found._repr_html_().startswith("<table>")


def test_sweep_keeps_what_does_not_fit_apart(tmp_path: Path) -> None:
    found = zd.sweep(small_model(tmp_path), batches=(1, 4))
    assert [result.batch for result in found.results] == [1, 4]
    assert found.too_large == ()
    assert found.records()[0]["timing_kind"] == "simulated"
    rate = found.records()[0]["intervals"]["throughput_fps"]
    assert rate["low"] < rate["value"] == found.results[0].throughput_fps < rate["high"]
    with pytest.raises(zd.UsageError, match=r"^batches must be whole numbers from 1"):
        zd.sweep(small_model(tmp_path), batches=(0,))
