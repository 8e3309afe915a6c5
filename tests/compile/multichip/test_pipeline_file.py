"""The .zap file of several chips: what goes in comes out, and damage is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.compile.program.zap_files import program_digest
from tests.networks import ORIGIN, small_cnn, small_cnn_program
from zapdeploy.compile.mapping.memory import CapacityViolation
from zapdeploy.compile.multichip.pipeline import Pipeline, single
from zapdeploy.compile.multichip.pipeline_file import load_pipeline, pipeline_digest, save_pipeline
from zapdeploy.compile.multichip.pipeline_partitioner import build_pipeline
from zapdeploy.compile.program.program import Options
from zapdeploy.errors import ProgramError
from zapdeploy.hardware_targets import load_target, target_text

TEXT = target_text("northpole-sim")[1]


def over(chips: int, batch: int = 4) -> Pipeline:
    options = Options(batch, chips, "throughput")
    target = load_target("northpole-sim")
    return build_pipeline(small_cnn(2), ORIGIN, target, TEXT, options, 2, chips)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return over(2)


@pytest.fixture
def path(pipeline: Pipeline, tmp_path: Path) -> Path:
    save_pipeline(pipeline, tmp_path / "p.zap")
    return tmp_path / "p.zap"


def test_what_goes_in_comes_out(pipeline: Pipeline, path: Path) -> None:
    found = load_pipeline(path)
    assert (found.model, found.version) == (pipeline.model, pipeline.version)
    assert found.options == Options(4, 2, "throughput")
    assert (found.micro_batch, found.micro_batches) == (2, 2)
    assert found.target == pipeline.target
    assert found.links == pipeline.links
    assert len(found.stages) == 2
    assert found.fits
    for loaded, made in zip(found.stages, pipeline.stages, strict=True):
        assert loaded.layers == made.layers
        assert loaded.memory == made.memory
        assert loaded.graph.inputs == made.graph.inputs
    assert found.interface.inputs == ("image",)
    assert [(v.shape, v.element) for v in found.outputs] == [
        (v.shape, v.element) for v in pipeline.outputs
    ]


def test_the_network_comes_out_whole(pipeline: Pipeline, path: Path) -> None:
    found, graph = load_pipeline(path).graph, small_cnn(2)
    assert [n.name for n in found.nodes] == [n.name for n in graph.nodes]
    assert found.values.keys() == graph.values.keys()
    for name, value in graph.values.items():
        assert found.values[name].shape == value.shape
        if value.data is not None:
            data = found.values[name].data
            assert data is not None
            np.testing.assert_array_equal(data, value.data)


def test_digest_is_known_without_a_file(pipeline: Pipeline, path: Path) -> None:
    assert load_pipeline(path).digest == pipeline_digest(pipeline) != ""
    other = replace(pipeline, options=Options(2, 2, "throughput"))
    assert pipeline_digest(other) != pipeline_digest(pipeline)


def test_the_same_pipeline_gives_the_same_bytes(
    pipeline: Pipeline, path: Path, tmp_path: Path
) -> None:
    save_pipeline(load_pipeline(path), tmp_path / "again.zap")
    assert (tmp_path / "again.zap").read_bytes() == path.read_bytes()


def test_a_stage_is_the_section_of_a_file_of_one_chip(path: Path, tmp_path: Path) -> None:
    found = load_pipeline(path)
    save_pipeline(single(found.stages[1]), tmp_path / "one.zap")
    (again,) = load_pipeline(tmp_path / "one.zap").stages
    assert again.digest == found.stages[1].digest == program_digest(again)


def test_a_network_that_does_not_fit_comes_back_so(tmp_path: Path) -> None:
    violation = CapacityViolation("layer", "weights", 2, 1, ("a larger chip",))
    made = replace(single(small_cnn_program()), violation=violation)
    found = save_pipeline(made, tmp_path / "p.zap")
    assert found.violation == violation
    assert not found.fits


def test_one_chip_with_micro_batches_keeps_them(tmp_path: Path) -> None:
    save_pipeline(over(1), tmp_path / "p.zap")
    found = load_pipeline(tmp_path / "p.zap")
    assert (len(found.stages), found.micro_batches) == (1, 2)


def test_every_damaged_byte_is_found(path: Path) -> None:
    """In the prefix, in both stages (some of many), in the header."""
    whole = path.read_bytes()
    header = len(whole) - int.from_bytes(whole[48:56], "little")
    places = [*range(0, 64, 2), *np.linspace(64, header - 1, 40, dtype=int)]
    places += np.linspace(header, len(whole) - 1, 20, dtype=int).tolist()
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(ProgramError, match=r"damaged|format version|must be a \.zap file"):
            list(load_pipeline(path).stages)


@pytest.mark.parametrize("length", [0, 11, 40, 63, 64, 1000, -1])
def test_a_file_cut_short(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ProgramError, match=r"p\.zap"):
        list(load_pipeline(path).stages)


def test_bytes_after_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ProgramError, match="damaged"):
        load_pipeline(path)
