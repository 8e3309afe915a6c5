"""The commands on good input: what they write, what they print, their exit status."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from tests.cli.conftest import Call
from zapdeploy.arrays import load_arrays, save_arrays
from zapdeploy.cli.app import COMMANDS, OUTPUT_OPTIONS, app
from zapdeploy.onnxruntime_sessions import Purpose, open_session

COMPILE_KEYS = {
    "model",
    "target",
    "digest",
    "batch",
    "chips",
    "fits",
    "unfit",
    "clock_hz",
    "cycles",
    "latency_s",
    "throughput_fps",
    "bound_throughput_fps",
    "utilization",
    "energy_per_frame_j",
    "power_w",
    "energy_at_frame_rate_j",
    "memory",
    "counts",
    "layers",
}


def test_compile_then_simulate_agree(zapdeploy: Call, model: Path) -> None:
    compiled = zapdeploy("compile", model, "--json")
    assert compiled.status == 0
    assert compiled.json.keys() >= COMPILE_KEYS
    simulated = zapdeploy("simulate", model.with_suffix(".zap"), "--level", "estimate", "--json")
    assert simulated.status == 0
    document = simulated.json
    (proof,) = document.pop("certificate")
    assert document == compiled.json
    assert 0 < proof["peak_bytes"] == max(proof["cores"]) == max(proof["layers"])
    assert proof["peak_bytes"] <= compiled.json["memory"]["per_core_peak_bytes"]
    assert proof["limit_bytes"] == compiled.json["memory"]["per_core_limit_bytes"]


def test_energy_has_an_interval_and_a_kind(zapdeploy: Call, model: Path) -> None:
    found = zapdeploy("compile", model, "--json").json["energy_per_frame_j"]
    assert found["kind"] == "modelled"
    assert 0 < found["low"] < found["value"] < found["high"]


def test_simulate_gives_what_onnxruntime_gives(
    zapdeploy: Call, model: Path, tmp_path: Path
) -> None:
    session = open_session(model, Purpose.INTEGER)
    shape = [d if isinstance(d, int) else 1 for d in session.get_inputs()[0].shape]
    name = session.get_inputs()[0].name
    frames = np.random.default_rng(0).normal(0, 4, (3 * shape[0], *shape[1:])).astype(np.float32)
    save_arrays(tmp_path / "x.npz", {name: frames})
    zapdeploy("compile", model)
    called = zapdeploy(
        "simulate",
        model.with_suffix(".zap"),
        "--inputs",
        tmp_path / "x.npz",
        "--outputs",
        tmp_path / "y.npz",
        "--check",
    )
    assert called.status == 0
    assert "agrees with onnxruntime" in called.out
    assert "core by core equals the graph evaluated whole: " in called.out
    assert "memory proved: at most " in called.out
    (given,) = load_arrays(tmp_path / "y.npz").values()
    wanted = [session.run(None, {name: part})[0] for part in np.split(frames, 3)]
    np.testing.assert_array_equal(given, np.concatenate(wanted))


def test_check_in_json_counts_elements(zapdeploy: Call, model: Path) -> None:
    zapdeploy("compile", model)
    called = zapdeploy("simulate", model.with_suffix(".zap"), "--check", "--json")
    found = called.json["check"]
    assert called.status == 0
    assert found["elements"] == found["equal"] > 0
    assert found["max_lsb"] == 0
    assert called.json["core_array"]["elements"] == found["elements"]
    assert called.json["core_array"]["equal"] == found["elements"]
    assert {"name", "elements", "equal", "max_lsb"} <= found["nodes"][0].keys()


def test_frame_rate(zapdeploy: Call, model: Path) -> None:
    zapdeploy("compile", model)
    found = zapdeploy("simulate", model.with_suffix(".zap"), "--frame-rate", "2", "--json").json
    idle = 0.5 - found["batch"] / found["throughput_fps"] / found["batch"]
    assert found["keeps_up"] is True
    # northpole-sim's idle power is its static power: between 10 and 30 W, calibrated 25.2 W.
    assert found["energy_at_frame_rate_j"]["value"] == pytest.approx(
        found["energy_per_frame_j"]["value"] + 25.2 * idle, rel=0.01
    )


def test_trace_opens_as_chrome_events(zapdeploy: Call, model: Path, tmp_path: Path) -> None:
    zapdeploy("compile", model)
    trace = tmp_path / "t.json"
    called = zapdeploy("simulate", model.with_suffix(".zap"), "--trace", trace, "--json")
    events = json.loads(trace.read_text())["traceEvents"]
    layers = [e for e in events if e["ph"] == "X" and e["tid"] == 0]
    assert [e["name"] for e in layers] == [layer["name"] for layer in called.json["layers"]]
    assert sum(e["args"]["cycles"] for e in layers) <= called.json["cycles"]


def test_check_names_every_node(zapdeploy: Call, model: Path) -> None:
    called = zapdeploy("check", model, "--json")
    assert called.status == 0
    assert called.json["accepted"]
    assert called.json["fits"]
    assert {n["outcome"] for n in called.json["nodes"]} >= {"folded", "accepted", "host"}


def test_sweep_over_batches(zapdeploy: Call, open_batch: Path) -> None:
    called = zapdeploy("sweep", open_batch, "--batches", "1,2", "--json")
    assert called.status == 0
    assert [row["batch"] for row in called.json["rows"]] == [1, 2]


def test_targets(zapdeploy: Call) -> None:
    names = [target["name"] for target in zapdeploy("targets", "list", "--json").json]
    assert "northpole-sim" in names
    assert len(names) >= 2
    figures = zapdeploy("targets", "show", "northpole-sim", "--json").json["figures"]
    assert figures["array.rows"]["kind"] == "published"
    assert zapdeploy("targets", "check", "northpole-sim").status == 0


def test_a_target_is_a_file(zapdeploy: Call, model: Path, tmp_path: Path) -> None:
    from zapdeploy.hardware_targets import target_text

    text = target_text("northpole-sim")[1].replace("400 MHz", "200 MHz")
    text = text[: text.index("[totals]")] + text[text.index("[published.resnet50]") :]
    slow = tmp_path / "slow.toml"
    slow.write_text(text.replace('"northpole-sim"', '"slow"'))
    fast = zapdeploy("compile", model, "--json").json
    found = zapdeploy("compile", model, "--target", slow, "--json").json
    assert found["target"] == "slow"
    assert found["cycles"] == fast["cycles"]
    assert found["clock_hz"] == fast["clock_hz"] / 2


def test_doctor(zapdeploy: Call) -> None:
    found = zapdeploy("doctor", "--json").json
    assert found["zapdeploy"] != "not installed"
    assert "RAPL energy meter" in found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(zapdeploy: Call, command: str) -> None:
    called = zapdeploy(command, "--help")
    assert called.status == 0
    assert f"zapdeploy {command}" in called.out or "Commands" in called.out


def test_help_loads_nothing_heavy() -> None:
    heavy = ["torch", "onnx", "onnxruntime", "numba", "scipy", "numpy", "pint", "onnx_ir"]
    code = (
        "import sys; from zapdeploy.cli.app import run; run(['--help']);"
        f"print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(eval(done.stderr))
    assert loaded == set()


def test_compile_needs_no_torch(model: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['brevitas'] = None;"
        "from zapdeploy.cli.app import run; sys.exit(run(sys.argv[1:]))"
    )
    subprocess.run([sys.executable, "-c", code, "compile", str(model)], check=True)


def test_same_bytes_under_another_hash_seed(model: Path, tmp_path: Path) -> None:
    written = []
    for seed in ("1", "2"):
        path = tmp_path / f"{seed}.zap"
        subprocess.run(
            [sys.executable, "-m", "zapdeploy", "compile", str(model), "-o", str(path)],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_timing_level_schedules(zapdeploy: Call, model: Path, tmp_path: Path) -> None:
    zapdeploy("compile", model)
    program, trace = model.with_suffix(".zap"), tmp_path / "t.json"
    estimated = zapdeploy("simulate", program, "--level", "estimate", "--json").json
    options = ("--level", "timing", "--trace", trace, "--trace-core", "0,1", "--json")
    scheduled = zapdeploy("simulate", program, *options).json
    assert (estimated["timing_level"], scheduled["timing_level"]) == ("estimated", "scheduled")
    assert scheduled["counts"] == estimated["counts"]
    for layer in scheduled["layers"]:
        assert sum(layer["waited_for_cycles"].values()) == layer["cycles"]
        assert layer["cycles"] >= layer["bound_cycles"]
    assert len(scheduled["array"][0]["layers"]) == len(scheduled["layers"])
    events = json.loads(trace.read_text())["traceEvents"]
    names = {e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert "core (0, 1) matrix" in names


def test_trace_core_must_be_on_the_chip(zapdeploy: Call, model: Path, tmp_path: Path) -> None:
    zapdeploy("compile", model)
    program, trace = model.with_suffix(".zap"), tmp_path / "t.json"
    for where in ("16,0", "3", "a,b", "-1,0"):
        options = ("--level", "timing", "--trace", trace, "--trace-core", where)
        called = zapdeploy("simulate", program, *options)
        assert called.status == 2
        assert f"--trace-core must be ROW,COLUMN from 0,0 to 15,15, not '{where}'" in called.err
    called = zapdeploy("simulate", program, "--trace-core", "0,0")
    assert called.status == 2
    assert "--trace-core must go with --trace T.json" in called.err


def _options(command: Any) -> Iterator[Any]:
    for inner in getattr(command, "commands", {}).values():
        yield from _options(inner)
    yield from (p for p in command.params if getattr(p, "help", None))


def test_options_that_write_a_file_are_known_as_such() -> None:
    """What they name is written over; files that any other argument names are only read."""
    writes = re.compile(r"(Also )?(write|draw)|Where to write|The (file|page) to write", re.I)
    found = [p for p in _options(typer.main.get_command(app)) if writes.match(p.help)]
    wanted = {frozenset(p.opts) for p in found}
    assert frozenset(("--sample-inputs",)) in wanted
    assert all(options & OUTPUT_OPTIONS for options in wanted), wanted


def test_a_command_can_be_called_again(zapdeploy: Call, tmp_path: Path) -> None:
    """README's first command writes over what it has written."""
    out, samples = tmp_path / "net.onnx", tmp_path / "x.npz"
    ask = ("models", "export", "linear-c4", "--neurons", 5, "--sample-inputs", samples, "-o", out)
    for _ in range(2):
        assert zapdeploy(*ask).status == 0
