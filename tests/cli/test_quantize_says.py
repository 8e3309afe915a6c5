"""What quantize says of a network that it wrote: signal to noise, warnings, refusals to come."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.cli.conftest import Call
from tests.quantize.networks import images, node, random_weights, residual_cnn, run, save
from zapdeploy.quantize.fidelity import LOST_DB
from zapdeploy.quantize.samples import Arrays


def loud_middle(path: Path) -> Path:
    """Three convolutions; in the second one, one channel drowns the others at 4 bits."""
    names = ("w1", "w2", "w3")
    weights = random_weights({name: (8, 3 if name == "w1" else 8, 3, 3) for name in names})
    weights["w2"][0] *= 300
    weights["w3"][:, 0] /= 3000
    nodes = [
        node("Conv", "input w1", "c1", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 w2", "c2", pads=[1, 1, 1, 1]),
        node("Relu", "c2", "r2"),
        node("Conv", "r2 w3", "output", pads=[1, 1, 1, 1]),
    ]
    return save(path, nodes, weights, ([1, 3, 8, 8], [1, 8, 8, 8]))


def test_a_network_that_lost_its_function_is_named_with_the_layer_to_blame(
    zapdeploy: Call, tmp_path: Path
) -> None:
    source = loud_middle(tmp_path / "net.onnx")
    np.savez(tmp_path / "x.npz", **images(16))
    arguments = (source, "--calibration", tmp_path / "x.npz", "-o", tmp_path / "q.onnx")
    bits = ("--weights", 4, "--activations", 4, "--keep-first-last", 4, "--rounding", "nearest")
    called = zapdeploy("quantize", *arguments, *bits)
    assert called.status == 0
    warnings = [line for line in called.err.splitlines() if line.startswith("warning:")]
    assert len(warnings) == 1
    assert "lost its function (output under 10 dB" in warnings[0]
    document = json.loads((tmp_path / "q.json").read_text())["fidelity"]
    assert document["snr_db"]["output"] < LOST_DB
    assert document["lost"] == ["output"]
    assert len(document["blame"]) == 3


def test_a_network_that_keeps_its_function_is_not_warned_of(
    zapdeploy: Call, tmp_path: Path
) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    np.savez(tmp_path / "x.npz", **images(16))
    arguments = (source, "--calibration", tmp_path / "x.npz", "-o", tmp_path / "q.onnx")
    called = zapdeploy("quantize", *arguments)
    assert "output SNR against float on 4 inputs held back: output 3" in called.out
    assert "warning" not in called.err + called.out
    few = zapdeploy("quantize", source, "-o", tmp_path / "q.onnx")
    assert "SNR" not in few.out  # of random inputs it would say nothing


def test_a_file_that_compile_refuses_is_said_to_be_one(zapdeploy: Call, tmp_path: Path) -> None:
    nodes = [
        node("Conv", "input w1", "c1", pads=[1, 1, 1, 1]),
        node("Det", "c1", "output"),
    ]
    weights = random_weights({"w1": (8, 3, 3, 3)})
    source = save(tmp_path / "net.onnx", nodes, weights, ([1, 3, 8, 8], [1, 8]))
    np.savez(tmp_path / "x.npz", **images(16))
    called = zapdeploy(
        "quantize", source, "--calibration", tmp_path / "x.npz", "-o", tmp_path / "q.onnx"
    )
    assert called.status == 1
    assert "compile will refuse this file: " in called.err
    assert "Det" in called.err
    compiled = zapdeploy("compile", tmp_path / "q.onnx", "--target", "northpole-sim")
    assert compiled.status == 2
    refusal = json.loads((tmp_path / "q.json").read_text())["refusal"]
    assert refusal.split(":")[0] in compiled.err


def share_right(outputs: Arrays, given: Arrays) -> float:
    """A metric: how often the largest output is the labelled one."""
    return float((outputs["output"].argmax(axis=1) == given["labels"]).mean())


def no_number(outputs: Arrays, given: Arrays) -> float:
    """A metric that fails."""
    raise KeyError("labels")


def test_layers_keep_8_bits_as_far_as_the_outputs_need_it(zapdeploy: Call, tmp_path: Path) -> None:
    source = loud_middle(tmp_path / "net.onnx")
    np.savez(tmp_path / "x.npz", **images(32))
    arguments = (source, "--calibration", tmp_path / "x.npz", "-o", tmp_path / "q.onnx")
    bits = ("--weights", 4, "--activations", 4, "--keep-first-last", 4)
    called = zapdeploy("quantize", *arguments, *bits, "--min-snr", 16)
    assert called.status == 0
    assert "warning" not in called.err
    assert "bits of weights/activations by layer: " in called.out
    document = json.loads((tmp_path / "q.json").read_text())
    assert document["recipe"] == "w4a4-edges4-packed-snr16"
    assert document["choice"]["aim"]["found_db"] >= document["choice"]["aim"]["limit_db"]
    assert document["fidelity"]["snr_db"]["output"] > 14
    assert len({(layer["weights"], layer["inputs"]) for layer in document["layers"]}) > 1


def test_mixed_chooses_down_to_2_bits(zapdeploy: Call, tmp_path: Path) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    np.savez(tmp_path / "x.npz", **images(32))
    arguments = (source, "--calibration", tmp_path / "x.npz", "-o", tmp_path / "q.onnx")
    called = zapdeploy("quantize", *arguments, "--weights", "mixed", "--min-snr", 12)
    assert called.status == 0, called.err
    document = json.loads((tmp_path / "q.json").read_text())
    assert min(layer["weights"] for layer in document["layers"]) == 2
    refused = zapdeploy("quantize", source, "-o", tmp_path / "q.onnx", "--weights", "mixed")
    assert refused.status == 2
    assert "--calibration" in refused.err


def test_a_metric_is_told_of_the_float_and_of_the_quantized_network(
    zapdeploy: Call, tmp_path: Path
) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    samples = images(32)
    labels = run(source, samples["input"]).argmax(axis=1)
    labels[2::8] = (labels[2::8] + 1) % 5  # every second one of those held back is mislabelled
    np.savez(tmp_path / "x.npz", labels=labels, **samples)
    arguments = (source, "--calibration", tmp_path / "x.npz", "-o", tmp_path / "q.onnx")
    called = zapdeploy("quantize", *arguments, "--metric", f"{__name__}:share_right")
    assert called.status == 0, called.err
    assert "metric: float 0.5, quantized " in called.out
    assert json.loads((tmp_path / "q.json").read_text())["fidelity"]["metric"][0] == 0.5
    failed = zapdeploy("quantize", *arguments, "--metric", f"{__name__}:no_number")
    assert failed.status == 2
    assert "--metric must return a number, not fail: KeyError" in failed.err
    missing = zapdeploy("quantize", *arguments, "--metric", f"{__name__}:nothing")
    assert missing.status == 2
    assert "'nothing'" in missing.err


def test_what_refusals_advise_works(zapdeploy: Call, tmp_path: Path) -> None:
    source = residual_cnn(tmp_path / "net.onnx")
    np.savez(tmp_path / "x.npz", **images(16))
    basis = ("quantize", source, "-o", tmp_path / "q.onnx", "--calibration", tmp_path / "x.npz")
    for options in (("--form", "qoperator"), ("--activation-scales", "auto")):
        refused = zapdeploy(*basis, *options, "--min-snr", 20)
        assert refused.status == 2
        assert "leave out --min-snr, or give 0" in refused.err
        assert not (tmp_path / "q.onnx").exists()
        for way in ((), ("--min-snr", 0)):
            assert zapdeploy(*basis, *options, *way).status == 0
        (tmp_path / "q.onnx").unlink()
    gpfq = zapdeploy(*basis, "--rounding", "gpfq", "--weights", 4)
    assert gpfq.status == 2
    assert "--rounding must be nearest or gptq" in gpfq.err
    for rounding in ("nearest", "gptq"):
        assert zapdeploy(*basis, "--rounding", rounding, "--weights", 4).status == 0
    trained = zapdeploy(*basis, "--qat", 10)
    assert trained.status == 2
    assert "must be a torch module for --qat" in trained.err
