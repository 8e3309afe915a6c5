"""The yardstick: ResNet-50's time against the published one, its values against ONNX Runtime."""

from __future__ import annotations

import pytest

import zapdeploy as zd
from tests.full_size.conftest import Make
from zapdeploy.compile.frontend import import_model
from zapdeploy.forecasters import sample_inputs
from zapdeploy.sim.calibration import calibrate
from zapdeploy.sim.check import check

pytestmark = pytest.mark.slow
PUBLISHED_FPS = 42_460  # Modha et al. 2023, as reported by F. Ottati


def test_throughput_at_batch_32_is_near_the_published_one(make: Make) -> None:
    """Nothing in the timing model is fitted to it."""
    result = zd.simulate(zd.compile(make("resnet50", 4, "packed"), batch=32))
    assert result.throughput_fps == pytest.approx(PUBLISHED_FPS, rel=0.15)
    assert result.throughput_fps < result.bound_throughput_fps


def test_larger_batches_give_more_frames_and_longer_latency(make: Make) -> None:
    model = make("resnet50", 4, "packed")
    results = [zd.simulate(zd.compile(model, batch=batch)) for batch in (1, 4, 16)]
    rates = [result.throughput_fps for result in results]
    latencies = [result.latency_s for result in results]
    assert rates == sorted(rates)
    assert latencies == sorted(latencies)


def test_energy_is_calibrated_on_this_network(make: Make) -> None:
    result = zd.simulate(zd.compile(make("resnet50", 4, "packed"), batch=32))
    stated = result.pipeline.target.energy.calibration.value
    assert calibrate(result) == pytest.approx(stated, abs=0.002)


@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_int8_equals_integer_kernels_in_every_element(make: Make, form: str) -> None:
    path = make("resnet50", 8, form)
    found = check(import_model(path).graph, path, sample_inputs("resnet50", 1))
    assert found.reference == "onnxruntime integer kernels"
    assert found.passed, found.failures
    assert sum(c.different for c in (*found.nodes, *found.free_running)) == 0


@pytest.mark.parametrize("form", ["qcdq", "packed"])
def test_int4_is_within_the_rule(make: Make, form: str) -> None:
    path = make("resnet50", 4, form)
    found = check(import_model(path).graph, path, sample_inputs("resnet50", 1))
    assert found.passed, found.failures
    for node in found.nodes:
        assert node.max_lsb <= 1
        assert node.different <= -(-node.elements // 1000)


def test_packed_file_is_small(make: Make) -> None:
    assert make("resnet50", 4, "packed").stat().st_size < 15e6
