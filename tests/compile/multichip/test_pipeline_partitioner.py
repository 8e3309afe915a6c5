"""Networks over several chips: what is cut where, and what does not fit."""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise

import numpy as np
import pytest

from tests.networks import ORIGIN, changed_target, mlp, northpole, resnet50, small_cnn
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.multichip.pipeline import Link, Pipeline, single
from zapdeploy.compile.multichip.pipeline_partitioner import Partitioner, build_pipeline
from zapdeploy.compile.program.program import Options
from zapdeploy.errors import UsageError
from zapdeploy.hardware_targets import Target, target_text
from zapdeploy.sim.timing import time_program

TEXT = target_text("northpole-sim")[1]


def over(
    graph: Graph, chips: int | None, target: Target | None = None, *, batch: int = 2
) -> Pipeline:
    options = Options(batch, chips or 1, "throughput")
    return build_pipeline(graph, ORIGIN, target or northpole(), TEXT, options, batch, chips)


@cache
def small(rows: int = 4, memory: str = "768 KiB", framebuffer: str = "32 MiB") -> Target:
    return changed_target(
        {
            "array.rows": str(rows),
            "array.columns": str(rows),
            "core.memory": memory,
            "framebuffer.memory": framebuffer,
        }
    )


def test_one_chip_is_the_program_as_it_is() -> None:
    graph = small_cnn(2)
    found = over(graph, 1)
    assert len(found.stages) == 1
    assert found.stages[0].graph is graph
    assert found.links == ()
    assert over(graph, None).options.chips == 1, "and so it is where that is enough"


def test_stages_follow_one_another() -> None:
    graph = small_cnn(2)
    whole, cut = over(graph, 1, small()), over(graph, 3, small())
    assert cut.options.chips == len(cut.stages) == 3
    names = [layer.name for stage in cut.stages for layer in stage.layers]
    assert names == [layer.name for layer in whole.stages[0].layers]
    assert sum(layer.macs for s in cut.stages for layer in s.layers) == sum(
        layer.macs for layer in whole.stages[0].layers
    )


def test_links_are_what_stages_send_each_other() -> None:
    """64 -> 96 -> 32 -> 16 at a byte each, two frames: 192 and 64 bytes go between the chips."""
    found = over(mlp(2, (64, 96, 32, 16)), 3, small())
    assert found.links == (
        Link("dense0_out", 0, (1,), 192),
        Link("dense1_out", 1, (2,), 64),
    )
    assert found.graph.inputs == ("in",)
    assert found.graph.outputs == ("dense2_out",)
    assert [n.name for n in found.graph.nodes] == ["dense0", "dense1", "dense2"]


def test_a_single_program_is_its_own_interface() -> None:
    program = over(mlp(2), 1).stages[0]
    found = single(program)
    assert (found.micro_batch, found.micro_batches) == (2, 1)
    assert [(v.name, v.shape) for v in found.inputs] == [("in", (2, 64))]
    assert found.interface.outputs == program.graph.outputs


@pytest.mark.parametrize("chips", [2, 3])
def test_no_cut_of_compiled_stages_is_faster(chips: int) -> None:
    """Compile every stage there is, and try every cut: the exact best, by another way."""
    graph = mlp(8, (512, 2048, 256, 1024, 1024, 64))
    target = small()
    partitioner = Partitioner(graph, ORIGIN, target, TEXT, Options(8, 1, "throughput"))
    items = len(partitioner.layers)
    for border in combinations(range(items + 1), 2):
        partitioner._compile(border)
    interval = {
        border: time_program(program).interval_s
        for border, program in partitioner._compiled.items()
    }
    cuts = [tuple(pairwise((0, *c, items))) for c in combinations(range(1, items), chips - 1)]
    best = min(max(interval[border] for border in cut) for cut in cuts)
    stages = over(graph, chips, target, batch=8).stages
    assert max(time_program(stage).interval_s for stage in stages) == pytest.approx(best, rel=1e-9)


def test_estimates_give_way_to_what_compiled_stages_take() -> None:
    graph = small_cnn(2)
    partitioner = Partitioner(graph, ORIGIN, small(), TEXT, Options(2, 1, "throughput"))
    stages = partitioner.over(2)
    assert stages is not None
    interval, latency = partitioner._seconds
    for border, program in partitioner._compiled.items():
        timeline = time_program(program)
        assert interval[border] == pytest.approx(timeline.interval_s)
        assert latency[border] == pytest.approx(timeline.latency_s)


def test_as_few_chips_as_it_takes() -> None:
    """4 x 4 cores of 16 KiB, 2 KiB of them programs: 224 KiB for three matrices of 128 KiB."""
    graph, target = mlp(1, (256, 512, 256, 512)), small(memory="16 KiB")
    found = over(graph, None, target, batch=1)
    assert found.fits
    assert found.options.chips == 3
    assert all(stage.fits for stage in found.stages)
    assert not over(graph, 1, target, batch=1).fits


def test_too_few_chips() -> None:
    """Together they would do: 2 x 256 KiB for 384 KiB of weights; but one has to take two."""
    found = over(mlp(1, (256, 512, 256, 512)), 2, small(memory="16 KiB"), batch=1)
    assert found.violation is not None
    assert found.violation.what.startswith("core memory of one of 2 chips")
    assert found.violation.limit == 16 * 16 * 1024
    assert found.violation.hints[-1] == "3 chips"
    assert "int4" in found.violation.hints[0]


def test_far_too_few_chips() -> None:
    found = over(mlp(1, (256, 512, 256, 512)), 2, small(memory="8 KiB"), batch=1)
    assert found.violation is not None
    assert found.violation.what.startswith("core memory of 2 chips together")
    assert found.violation.limit == 2 * 16 * 8 * 1024
    parameters = 3 * 256 * 512 + 4 * (512 + 256 + 512)
    assert found.violation.demanded == 2 * 16 * 2 * 1024 + parameters


def test_a_tensor_too_large_for_the_framebuffer() -> None:
    found = over(mlp(8), 2, small(framebuffer="512 B"), batch=8)
    assert found.violation is not None
    assert found.violation.what.startswith("framebuffer of one of 2 chips")
    assert found.violation.demanded == 8 * (64 + 96)
    assert found.violation.hints == ("a smaller --micro-batch",)
    alone = over(mlp(8), None, small(framebuffer="512 B"), batch=8)
    assert alone.violation is not None
    assert alone.options.chips == 1
    assert not any(hint.endswith("chips") for hint in alone.violation.hints)


def test_more_chips_than_layers() -> None:
    with pytest.raises(UsageError, match="chips must be at most the network's 2 layers, not 3"):
        over(mlp(2), 3, small())


@pytest.mark.slow
def test_resnet50_over_two_and_four_chips() -> None:
    """The images' own way to the first chip takes 401 us for 32; no stage can be faster."""
    intervals = []
    for chips in (1, 2, 4):
        found = over(resnet50(32, 4), chips, batch=32)
        intervals.append(max(time_program(stage).interval_s for stage in found.stages))
    arriving = 32 * 150_528 / 12e9
    assert intervals[0] > intervals[1] >= intervals[2] >= arriving
    assert intervals[1] < 0.65 * intervals[0]
    assert np.isclose(intervals[2], arriving, rtol=0.4)
