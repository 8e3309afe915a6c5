"""--host: a front and an end of a network in float on the host, the rest on the chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import zapdeploy as zd
from tests.cli.conftest import Call
from zapdeploy.arrays import Floats, load_arrays, save_arrays
from zapdeploy.errors import ModelError
from zapdeploy.host_part.network import KEY, noted_host_network
from zapdeploy.simplify import InputShapes
from zapdeploy.simplify.host_split import split_file

WINDOW, HOP, BINS, SAMPLES = 64, 32, 33, 1024
FRONT = ("real", "imag", "real_squared", "imag_squared", "power", "floored", "log")


def sound_network(path: Path) -> Path:
    """Log power spectra by an STFT as convolution, then two layers and a Softmax."""
    random = np.random.default_rng(0)
    phase = 2 * np.pi * np.arange(BINS)[:, None] * np.arange(WINDOW) / WINDOW
    window = np.hanning(WINDOW)
    constants = {
        "cosines": (np.cos(phase) * window)[:, None],
        "sines": (np.sin(phase) * window)[:, None],
        "floor": np.array([1e-6]),
        "w": random.standard_normal((16, BINS, 3)) * 0.1,
        "b": np.zeros(16),
        "v": random.standard_normal((160, 4)) * 0.1,
    }
    steps: list[tuple[str, list[str], str, dict[str, object]]] = [
        ("Conv", ["sound", "cosines"], "real", {"strides": [HOP], "kernel_shape": [WINDOW]}),
        ("Conv", ["sound", "sines"], "imag", {"strides": [HOP], "kernel_shape": [WINDOW]}),
        ("Mul", ["real", "real"], "real_squared", {}),
        ("Mul", ["imag", "imag"], "imag_squared", {}),
        ("Add", ["real_squared", "imag_squared"], "power", {}),
        ("Add", ["power", "floor"], "floored", {}),
        ("Log", ["floored"], "log", {}),
        ("Conv", ["log", "w", "b"], "hidden", {"strides": [3], "kernel_shape": [3]}),
        ("Relu", ["hidden"], "active", {}),
        ("Flatten", ["active"], "flat", {}),
        ("MatMul", ["flat", "v"], "logits", {}),
        ("Softmax", ["logits"], "probability", {}),
    ]
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [out], out, **more) for op, inputs, out, more in steps],
        "sound",
        [helper.make_tensor_value_info("sound", TensorProto.FLOAT, ["n", 1, SAMPLES])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def sounds(count: int, seed: int) -> Floats:
    """Noise whose loudness spans four powers of ten."""
    random = np.random.default_rng(seed)
    loudness = 10 ** random.uniform(-4, 0, (count, 1, 1))
    return (random.standard_normal((count, 1, SAMPLES)) * loudness).astype(np.float32)


def run(path: Path, values: Floats) -> Floats:
    session = onnxruntime.InferenceSession(path)
    return np.concatenate([session.run(None, {"sound": v[None]})[0] for v in values])


def test_front_and_end_run_on_the_host(tmp_path: Path, zapdeploy: Call) -> None:
    """In whole the network is lost at 8 bits; with its spectra on the host it is not."""
    model, program = sound_network(tmp_path / "m.onnx"), tmp_path / "q.zap"
    given, tried, got = (tmp_path / name for name in ("x.npz", "z.npz", "y.npz"))
    save_arrays(given, {"sound": sounds(32, 1)})
    save_arrays(tried, {"sound": sounds(8, 2)})
    made = zapdeploy(
        "quantize", model, "--calibration", given, "--host", "log", "--host", "probability",
        "-o", tmp_path / "q.onnx", "--json",
    )  # fmt: skip
    assert made.status == 0
    assert made.json["host"] == [*FRONT, "probability"]
    assert made.json["fidelity"]["snr_db"]["logits"] > 30
    assert zapdeploy("compile", tmp_path / "q.onnx", "-o", program).status == 0
    done = zapdeploy("simulate", program, "--check", "--inputs", tried, "--outputs", got, "--json")
    assert done.status == 0
    assert done.json["check"]["passed"]
    host = done.json["host"]
    assert host["outputs"][0] == {
        "name": "probability", "elements": 4, "equal": 4, "max_difference": 0.0
    }  # fmt: skip
    assert host["time_kind"] == "measured"
    assert host["time_per_frame_s"] > 0
    both = host["energy_per_frame_j"]["value"] + done.json["energy_per_frame_j"]["value"]
    assert host["energy_with_chip_j"]["value"] == pytest.approx(both)
    found, exact = load_arrays(got)["probability"], run(model, sounds(8, 2))
    assert 10 * np.log10(np.square(exact).sum() / np.square(found - exact).sum()) > 25
    assert np.array_equal(zd.run(program, {"sound": sounds(8, 2)})["probability"], found)
    said = zapdeploy("simulate", program, "--check").out
    assert "host, energy per frame" in said
    assert "4 of 4 elements of 'probability' equal" in said


def test_a_front_that_8_bits_ruin_goes_to_the_host(tmp_path: Path, zapdeploy: Call) -> None:
    """As far as the power, which alone spans eight powers of ten; unless all is to stay."""
    model, given = sound_network(tmp_path / "m.onnx"), tmp_path / "x.npz"
    save_arrays(given, {"sound": sounds(64, 1)})
    quantized, program = tmp_path / "q.onnx", tmp_path / "q.zap"
    options = (model, "--calibration", given, "-o", quantized, "--json")
    made = zapdeploy("quantize", *options)
    assert made.json["host"] == list(FRONT[:5])
    assert made.json["fidelity"]["snr_db"]["probability"] > 30
    assert "8 bits ruin what leads to 'power'" in made.json["notes"][-1]
    assert zapdeploy("compile", quantized, "-o", program).status == 0
    done = zapdeploy("simulate", program, "--check", "--level", "functional", "--json")
    assert done.json["check"]["passed"]
    kept = zapdeploy("quantize", *options, "--host", "none")
    assert kept.json["host"] == []
    assert kept.json["fidelity"]["lost"] == ["probability"]


def test_parts_together_are_the_whole(tmp_path: Path) -> None:
    """In float, the three parts one after the other equal the network, several frames at once."""
    model = sound_network(tmp_path / "m.onnx")
    part = tmp_path / "part.onnx"
    shapes = InputShapes(2)
    host = split_file(model, ["power", "logits.."], part, shapes)
    values = sounds(6, 3)
    known = host.before({"": values})
    session = onnxruntime.InferenceSession(part)
    for_chip = host.for_chip(known)["power"]
    chip = [session.run(["flat"], {"power": for_chip[i : i + 2]})[0] for i in range(0, 6, 2)]
    found = host.after({**known, "flat": np.concatenate(chip)})["probability"]
    np.testing.assert_allclose(found, run(model, values), atol=1e-6)


def test_a_quantized_file_is_cut_by_compile(tmp_path: Path, zapdeploy: Call) -> None:
    model, given = sound_network(tmp_path / "m.onnx"), tmp_path / "x.npz"
    save_arrays(given, {"sound": sounds(16, 1)})
    whole, program = tmp_path / "whole.onnx", tmp_path / "p.zap"
    zapdeploy("quantize", model, "--calibration", given, "--host", "none", "-o", whole)
    assert zapdeploy("compile", whole, "--host", "probability", "-o", program).status == 0
    assert (tmp_path / "p.chip.onnx").is_file()
    done = zapdeploy("simulate", program, "--check", "--inputs", given, "--json")
    assert done.status == 0
    assert done.json["host"]["outputs"][0]["equal"] == 4


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (["logg"], "--host must name a node of the network or its result, not 'logg'; nearest"),
        ([".."], "--host must name a node"),
        (["..logits", "log.."], "--host must leave something to the chip"),
        (["..probability"], "--host must leave something to the chip"),
    ],
)
def test_nodes_that_cannot_be_left_to_the_host(
    tmp_path: Path, zapdeploy: Call, nodes: list[str], message: str
) -> None:
    model = sound_network(tmp_path / "m.onnx")
    options = [text for node in nodes for text in ("--host", node)]
    called = zapdeploy("check", model, *options)
    assert called.status == 2
    assert message in called.err


def test_quantize_needs_inputs_for_the_front(tmp_path: Path, zapdeploy: Call) -> None:
    model = sound_network(tmp_path / "m.onnx")
    called = zapdeploy("quantize", model, "--host", "log", "-o", tmp_path / "q.onnx")
    assert called.status == 2
    assert "--host must have --calibration X.npz" in called.err
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"named": []}', '{"front": "?"}'])
def test_damaged_metadata(text: str) -> None:
    with pytest.raises(ModelError, match="must hold the host's parts"):
        noted_host_network({KEY: text}, "m.onnx")


def test_the_chips_part_does_not_take_the_place_of_the_whole(
    zapdeploy: Call, tmp_path: Path
) -> None:
    """Beside sound.zap it is called sound.chip.onnx, which is the network's own name here."""
    path = sound_network(tmp_path / "sound.chip.onnx")
    before = path.read_bytes()
    called = zapdeploy("compile", path, "--host", "probability", "-o", tmp_path / "sound.zap")
    assert called.status == 2
    assert "must not be a file that is read; give another name" in called.err
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sound.chip.onnx"]
