"""Agreement of an image network with itself in float: counted by hand, through both engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.examples import cpu_request, row, write_network
from zapdeploy.benchmarks.accuracy import accuracy
from zapdeploy.benchmarks.accuracy import agreement as judging
from zapdeploy.benchmarks.accuracy.accuracy import Accuracies
from zapdeploy.benchmarks.accuracy.agreement import agreement, outputs, unseen_images
from zapdeploy.benchmarks.models.model_files import float_file, quantized_file
from zapdeploy.benchmarks.models.workloads import ModelSize, find_workload
from zapdeploy.benchmarks.request import work_items
from zapdeploy.forecasters import sample_inputs


def test_agreement_by_hand() -> None:
    """Three of four choices stay; power 4 x 1 in float, noise 4 x 0.01 and once 1.01 + 1."""
    reference = np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]
    found = reference + np.float32([0.1, 0.0])
    found[3] = [1.1, 0.0]
    judged = agreement(reference, found)
    assert (judged.images, judged.share, judged.commonest) == (4, 0.75, 0.75)
    assert judged.snr_db == pytest.approx(10 * np.log10(4 / (3 * 0.01 + 1.21 + 1)))
    assert "4 other crops of the calibration's photographs, 75% of them" in judged.text


def test_a_network_agrees_with_itself() -> None:
    same = np.eye(3, dtype=np.float32)
    assert (agreement(same, same).share, agreement(same, same).snr_db) == (1.0, float("inf"))


def test_images_are_others_than_those_of_the_calibration() -> None:
    workload = find_workload("resnet50", ModelSize())
    calibration = sample_inputs("resnet50", 8, 0)["input"]
    for image in unseen_images(workload, 8):
        assert not any(np.array_equal(image, one) for one in calibration)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small network of four classes in ResNet-50's place, and vectors in that of images."""
    network = find_workload(str(write_network(tmp_path / "net.onnx")), ModelSize())
    images = np.random.default_rng(3).standard_normal((20, 8)).astype(np.float32)

    def quantized(workload: object, precision: str, folder: Path, **_: object) -> object:
        return quantized_file(network, precision, "packed", folder)

    monkeypatch.setattr(judging, "unseen_images", lambda workload, count: images[:count])
    monkeypatch.setattr(accuracy, "precision_file", quantized)
    monkeypatch.setattr(
        accuracy, "float_file", lambda workload, folder: float_file(network, folder)
    )
    return tmp_path


@pytest.mark.parametrize(
    ("target", "kind", "where"),
    [
        ("cpu", "measured", "ONNX Runtime on the CPU"),
        ("northpole-sim", "simulated", "the functional simulator"),
    ],
)
def test_quantized_rows_are_judged_where_they_run(
    stand_in: Path, target: str, kind: str, where: str
) -> None:
    item, *_ = work_items(cpu_request("resnet50", targets=(target,), precisions=("int8",)))
    found = Accuracies("synthetic", stand_in, images=20).judged(item, row(target))
    network = find_workload(str(stand_in / "net.onnx"), ModelSize())
    images = judging.unseen_images(network, 20)
    simulate = target != "cpu"
    quantized = quantized_file(network, "int8", "packed", stand_in).path
    chosen = outputs(quantized, images, simulate=simulate).argmax(axis=1)
    assert found.accuracy == np.mean(
        chosen == outputs(stand_in / "net.onnx", images).argmax(axis=1)
    )
    assert found.accuracy_metric == "top-1 agreement with fp32"
    assert f"top-1 agreement with fp32 ({kind}): 20 other crops" in found.note
    assert found.note.endswith(f"in {where}")
    assert found.horizon is None


def test_both_engines_say_the_same_of_integers(stand_in: Path) -> None:
    """At 8 bits the simulator has ONNX Runtime's integers."""
    network = find_workload(str(stand_in / "net.onnx"), ModelSize())
    path = quantized_file(network, "int8", "qdq", stand_in).path
    images = judging.unseen_images(network, 20)
    assert outputs(path, images).shape == (20, 4)
    np.testing.assert_allclose(
        outputs(path, images, simulate=True), outputs(path, images), atol=1e-6
    )


def test_float_has_nothing_to_agree_with(stand_in: Path) -> None:
    item, *_ = work_items(cpu_request("resnet50", precisions=("fp32",)))
    plain = row("cpu", "fp32")
    assert Accuracies("synthetic", stand_in).judged(item, plain) == plain


@pytest.mark.slow
def test_resnet50_keeps_most_of_its_choices_at_8_bits(tmp_path: Path) -> None:
    """More often than by choosing always the commonest class, and at 8 bits more than at 4."""
    request = cpu_request("resnet50", targets=("northpole-sim",), precisions=("int8", "int4"))
    accuracies = Accuracies("synthetic", tmp_path, images=32)
    eight, four = (
        accuracies.judged(item, row("northpole-sim", item.precision)).accuracy
        for item in work_items(request)[::2]
    )
    assert eight is not None
    assert four is not None
    assert eight > max(four, 0.75)
