"""BERT-base's encoder, a decoder layer of width 2048 and POCO's kind over all 71,721 neurons."""

from __future__ import annotations

import pytest

import zapdeploy as zd
from tests.full_size.conftest import Make
from zapdeploy.compile.frontend import import_model
from zapdeploy.forecasters import find_model, sample_inputs
from zapdeploy.sim.check import check

pytestmark = pytest.mark.slow

FILES = (
    ("bert-base", 8, "qdq"),
    ("bert-base", 4, "packed"),
    ("decoder-layer", 8, "qdq"),
    ("decoder-layer", 4, "packed"),
    ("poco-c4", 8, "qdq"),
)


@pytest.mark.parametrize(("name", "bits", "form"), FILES)
def test_values(make: Make, name: str, bits: int, form: str) -> None:
    path = make(name, bits, form)
    found = check(import_model(path).graph, path, sample_inputs(name, 1, 1))
    assert found.passed, found.failures


@pytest.mark.parametrize(("name", "bits", "form"), FILES)
def test_fits_one_chip_with_all_its_products(make: Make, name: str, bits: int, form: str) -> None:
    pipeline = zd.compile(make(name, bits, form))
    assert pipeline.fits
    layers = [layer for stage in pipeline.stages for layer in stage.layers]
    assert sum(layer.macs for layer in layers) == find_model(name).macs


def test_a_decoder_keeps_its_cache(make: Make) -> None:
    """Keys and values of 1,024 tokens: 8 heads of 64, a byte each; the host sees none of it."""
    pipeline = zd.compile(make("decoder-layer", 8, "qdq"))
    (program,) = pipeline.stages
    held = sum(b.size for b in program.memory.buffers if b.kind == "state")
    assert 256 * held >= 2 * 8 * 64 * 1024
    assert program.boundary_counts.host_bytes == 2 * (2048 + 1 + 2048)
