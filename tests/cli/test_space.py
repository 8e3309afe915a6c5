"""`compile --split space` and `simulate` of what it writes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import zapdeploy as zd
from tests.benchmarks.chips import small_model
from tests.cli.conftest import Call
from tests.compile.frontend.dialects import Style, Writer, residual_network
from zapdeploy.hardware_targets import target_text


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A residual network over images."""
    return residual_network(Writer(), Style())[0].save(tmp_path / "images.onnx")


@pytest.fixture
def small_chip(tmp_path: Path) -> Path:
    """northpole-sim with 4 x 4 cores."""
    text = target_text("northpole-sim")[1]
    text = text[: text.index("[totals]")] + text[text.index("[published.resnet50]") :]
    path = tmp_path / "small.toml"
    path.write_text(re.sub(r'(rows|columns)( *)= \{ is = "16"', r'\1\2= { is = "4"', text))
    return path


def test_the_whole_way(zapdeploy: Call, model: Path, small_chip: Path) -> None:
    """Written, read back, proved, run core by core on all cards, timed."""
    program = model.with_suffix(".zap")
    made = zapdeploy("compile", model, "--target", small_chip, "--chip-grid", "1x2", "--json").json
    assert (made["split"], made["chips"], made["chip_grid"]) == ("space", 2, [1, 2])
    often = ("--passes", 32, "--frame-rate", 1.09)
    found = zapdeploy("simulate", program, "--check", *often, "--json").json
    assert found["core_array"]["equal"] == found["core_array"]["elements"] > 0
    assert found["check"]["passed"]
    assert found["digest"] == made["digest"]
    assert found["timing_level"] == "scheduled"
    assert len(found["cards"]) == 2
    assert all(proof["peak_bytes"] <= proof["limit_bytes"] for proof in found["certificate"])
    interval_s = 32 * max(found["pass_s"], found["link_s"])
    assert found["throughput_fps"] == pytest.approx(found["batch"] / interval_s)
    assert found["keeps_up"]


@pytest.fixture
def tight_chip(small_chip: Path, tmp_path: Path) -> Path:
    """Of 4 x 4 cores, with a framebuffer that one image does not fit."""
    text = small_chip.read_text()
    text = re.sub(r'(?s)(\[framebuffer\].*?is = )"[^"]*"', r'\1"700 B"', text, count=1)
    path = tmp_path / "tight.toml"
    path.write_text(text)
    return path


def test_in_turn(zapdeploy: Call, model: Path, tight_chip: Path) -> None:
    """One card that does not hold the network: written, read back, proved, every box run core by
    core, timed."""
    refused = zapdeploy("compile", model, "--target", tight_chip)
    assert refused.status == 1
    asked = ("--target", tight_chip, "--split", "turns")
    made = zapdeploy("compile", model, *asked, "--json").json
    assert (made["split"], made["chips"]) == ("turns", 1)
    assert made["boxes"] > 1
    program = model.with_suffix(".zap")
    often = ("--passes", 32, "--frame-rate", 1.09)
    found = zapdeploy("simulate", program, "--check", *often, "--json").json
    assert found["core_array"]["equal"] == found["core_array"]["elements"] > 0
    assert found["check"]["passed"]
    assert found["digest"] == made["digest"]
    assert found["timing_level"] == "scheduled"
    assert found["latency_s"] == pytest.approx(32 * sum(r["seconds"] for r in found["rounds"]))
    assert sum(found["waits_s"].values()) == pytest.approx(found["pass_s"])
    assert found["keeps_up"] == (found["throughput_fps"] >= 1.09)
    moved = sum(r["from_host_bytes"] + r["to_host_bytes"] for r in found["rounds"])
    assert found["counts"]["host_bytes"] == pytest.approx(moved, rel=0.05)
    assert "waiting for the host link" in zapdeploy("simulate", program, "-v").out


def test_in_turn_in_python(model: Path, tight_chip: Path, tmp_path: Path) -> None:
    file = tmp_path / "turns.zap"
    program = zd.compile_turns(model, tight_chip, output=file)
    result = zd.simulate_turns(file, level="estimate")
    assert "waiting for the host link" in result._repr_html_()
    assert len(result.to_frame()) == len(program.rounds)
    name = program.graph.inputs[0]
    shape = program.graph.values[name].shape
    x = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    whole = zd.run(zd.compile(model), {name: x})
    for each in (program, file):
        for output, array in zd.run(each, {name: x}).items():
            assert array.tobytes() == whole[output].tobytes()


def test_what_would_help(model: Path, small_chip: Path) -> None:
    """More chips only where they share what is too large; fewer bits only where there are more."""
    text = small_chip.read_text()

    def advice(memory: str, widths: str) -> str:
        changed = re.sub(r'(?m)^memory( *)= \{ is = "[^"]*"', f'memory = {{ is = "{memory}"', text)
        small_chip.write_text(re.sub(r"(?m)^widths.*$", f"widths = {widths}", changed))
        program = zd.compile_space(model, small_chip, chips=2)
        return program.why_not.split("Fix: use ")[1]

    assert advice("1 KiB", "[8, 4]").startswith("more chips, int4, or --split turns")
    assert advice("1 KiB", "[8]").startswith("more chips, or --split turns")
    assert advice("100 B", "[8]").startswith("--split turns")


def test_nothing_small_enough_in_turn(zapdeploy: Call, model: Path, tight_chip: Path) -> None:
    tight_chip.write_text(tight_chip.read_text().replace('"700 B"', '"1 B"'))
    called = zapdeploy("compile", model, "--target", tight_chip, "--split", "turns")
    assert called.status == 2
    assert "no box is small enough for the framebuffer" in called.err
    assert not model.with_suffix(".zap").exists()


def test_tables(zapdeploy: Call, model: Path) -> None:
    out = zapdeploy("compile", model, "--chips", 4, "--split", "space", "-v").out
    assert "waiting for halos" in out
    assert "kinds of cards" in out


def test_python(model: Path, tmp_path: Path) -> None:
    program = zd.compile_space(model, chips=2, output=tmp_path / "two.zap")
    result = zd.simulate_space(tmp_path / "two.zap", level="estimate")
    assert result.throughput_fps > 0
    assert "frames per second" in result._repr_html_()
    shape = program.graph.values[program.graph.inputs[0]].shape
    x = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    whole = zd.run(zd.compile(model), {program.graph.inputs[0]: x})
    for name, array in zd.run(program, {program.graph.inputs[0]: x}).items():
        assert array.tobytes() == whole[name].tobytes()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--split", "layers"], "--split must be stages, space or turns, not 'layers'"),
        (["--split", "space"], "--split space must have --chips N or --chip-grid 1x4x4"),
        (["--split", "stages", "--chip-grid", "2x2"], "--chip-grid must go with --split space"),
        (["--split", "turns", "--chip-grid", "2x2"], "--chip-grid must go with --split space"),
        (["--split", "turns", "--micro-batch", 1], "--micro-batch must be left out"),
        (["--split", "turns", "--effort", "thorough"], "--effort must be quick or normal"),
        (["--split", "turns", "--chips", 13], "--chips must be a product of numbers"),
        (["--chip-grid", "2x2", "--chips", 3], "--chips must be 4 with --chip-grid 2x2, not 3"),
        (["--chip-grid", "1x2x2"], "--chip-grid must have 2 numbers for this network"),
        (["--chip-grid", "99x1"], "--chip-grid must cut no dimension into more parts than"),
        (["--chip-grid", "2x2", "--micro-batch", 1], "--micro-batch must be left out"),
        (["--chip-grid", "2x2", "--effort", "thorough"], "--effort must be quick or normal"),
        (["--chips", 13, "--split", "space"], "--chips must be a product of numbers"),
    ],
)
def test_wrong_options(zapdeploy: Call, model: Path, options: list[str], says: str) -> None:
    called = zapdeploy("compile", model, *options)
    assert called.status == 2
    assert says in called.err
    assert not model.with_suffix(".zap").exists()


def test_a_damaged_file(zapdeploy: Call, model: Path) -> None:
    program = model.with_suffix(".zap")
    assert zapdeploy("compile", model, "--chip-grid", "2x1").status == 0
    raw = bytearray(program.read_bytes())
    raw[len(raw) // 2] ^= 1
    program.write_bytes(raw)
    called = zapdeploy("simulate", program)
    assert called.status == 2
    assert "is damaged" in called.err


def test_other_commands_say_what_they_take(zapdeploy: Call, model: Path) -> None:
    program = model.with_suffix(".zap")
    assert zapdeploy("compile", model, "--chip-grid", "2x1").status == 0
    with pytest.raises(zd.ProgramError, match="not cut over space"):
        zd.load(program)


def test_options_that_do_not_go_with_it(zapdeploy: Call, model: Path) -> None:
    called = zapdeploy("compile", model, "--chip-grid", "2x1", "--skip-zero-blocks")
    assert called.status == 2
    assert "--skip-zero-blocks must be left out for a network cut over space" in called.err


def test_a_network_without_space(zapdeploy: Call, tmp_path: Path) -> None:
    called = zapdeploy("compile", small_model(tmp_path), "--chips", 2, "--split", "space")
    assert called.status == 2
    assert "--split space must have a network over space" in called.err
