"""Networks that are too large: the numbers are right, and the hints would help."""

from __future__ import annotations

import pytest

from tests.networks import changed_target, compiled, mlp, northpole, small_cnn
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.mapper import Mapper
from zapdeploy.compile.mapping.memory import CapacityViolation, plan_memory
from zapdeploy.compile.program.build import memory_demands
from zapdeploy.compile.program.capacity import (
    chip_violation,
    framebuffer_violation,
    parameters_and_programs,
)
from zapdeploy.hardware_targets import Target, load_target

PROGRAMS = 256 * 2 * 1024


def violation_of(graph: Graph, target: Target | None = None, batch: int = 1) -> CapacityViolation:
    program = compiled(graph, target, batch=batch)
    assert not program.fits
    assert program.violation is not None
    return program.violation


def test_too_many_weights_for_the_chip() -> None:
    """16,384 x 16,384 + 16,384 x 1024 bytes, 17,408 biases of 4 B, 2 KiB of programs per core.

    At 4 bit the weights halve: 142,606,336 + 69,632 + 524,288 = 143,200,256 bytes of 256 x 768 KiB.
    """
    weights, biases = 16_384 * 16_384 + 16_384 * 1024, 17_408 * 4
    found = violation_of(mlp(1, (16_384, 16_384, 1024)))
    assert found == CapacityViolation(
        layer="dense0",
        what="core memory of all 256 cores together (parameters and programs)",
        demanded=weights + biases + PROGRAMS,
        limit=256 * 768 * 1024,
        hints=("int4 weights (143.2 MB of 201.3 MB)", "2 chips"),
    )


def test_the_hint_of_narrower_weights_is_true() -> None:
    assert violation_of(mlp(1, (16_384, 16_384, 1024))).hints[0].startswith("int4 weights")
    assert compiled(mlp(1, (16_384, 16_384, 1024), bits=4)).fits


def test_the_hint_names_the_widest_weights_that_do() -> None:
    """537 MB at 8 bit, 268 at 4, 134 at 2: only the last is below 201."""
    layers = group_layers(mlp(1, (16_384, 32_768)))
    found = chip_violation(layers, northpole())
    assert found is not None
    assert found.hints == ("int2 weights (134.9 MB of 201.3 MB)", "3 chips")


def test_no_width_does() -> None:
    """1.07 GB at 8 bit are 268 MB at 2 bit; 6 chips have 1.2 GB."""
    found = chip_violation(group_layers(mlp(1, (32_768, 32_768))), northpole())
    assert found is not None
    assert found.hints == ("6 chips",)
    room = 256 * 768 * 1024 - PROGRAMS
    assert 5 * room < found.demanded - PROGRAMS <= 6 * room


def test_widths_that_the_target_lacks_are_no_hint() -> None:
    """Without the 2-bit mode, 4 bit is the last offer."""
    found = chip_violation(group_layers(mlp(1, (8192, 32_768))), load_target("tile64-sim"))
    assert found is not None
    assert found.hints == ("5 chips",)


def test_narrow_weights_get_no_hint_of_the_same_width() -> None:
    found = chip_violation(group_layers(mlp(1, (32_768, 32_768), bits=2)), northpole())
    assert found is not None
    assert found.hints == ("2 chips",)


def test_the_layer_with_most_parameters_is_named() -> None:
    found = chip_violation(group_layers(mlp(1, (1024, 16_384, 16_384, 512))), northpole())
    assert found is not None
    assert found.layer == "dense1"


def test_a_network_that_fits_gives_none() -> None:
    layers = group_layers(small_cnn())
    assert chip_violation(layers, northpole()) is None
    assert framebuffer_violation(small_cnn(), layers, northpole()) is None


def test_parameters_and_programs_by_hand() -> None:
    """64 x 96 + 96 x 32 weights, 128 biases of 4 B."""
    expected = 64 * 96 + 96 * 32 + 128 * 4 + PROGRAMS
    assert parameters_and_programs(group_layers(mlp()), northpole()) == expected


def test_framebuffer_too_small() -> None:
    """8 x (64 + 32) bytes against 512 B."""
    target = changed_target({"framebuffer.memory": "512 B"})
    assert violation_of(mlp(8), target, batch=8) == CapacityViolation(
        layer="dense0",
        what="framebuffer (network inputs and outputs)",
        demanded=8 * (64 + 32),
        limit=512,
        hints=("a smaller --batch", "inputs and outputs in fewer bits"),
    )
    assert compiled(mlp(4), target, batch=4).fits


def test_a_single_frame_cannot_be_made_fewer() -> None:
    target = changed_target({"framebuffer.memory": "90 B"})
    assert violation_of(mlp(1), target).hints == ("inputs and outputs in fewer bits",)


SMALL_CORES = changed_target({"array.rows": "2", "array.columns": "2", "core.memory": "16 KiB"})


def test_too_many_activations_for_a_core() -> None:
    """32 frames of 16 x 16: the numbers are those of the plan, and fewer frames fit.

    Narrower weights or more chips would not: parameters are 2 KB of the 16.
    """
    program = compiled(small_cnn(32, size=16), SMALL_CORES, batch=32)
    found = program.violation
    assert found is not None
    assert found.demanded == program.memory.peak > found.limit == 16 * 1024
    fixed = program.memory.bytes_of("program", "parameters")
    assert found.what.startswith(f"memory of one core ({fixed} bytes of parameters and programs, ")
    assert found.layer in {layer.name for layer in program.layers}
    assert found.hints == ("a --batch below 32",)
    assert compiled(small_cnn(8, size=16), SMALL_CORES, batch=8).fits


def test_activations_and_parameters_add_up_to_the_peak() -> None:
    """What lives during the fullest layer is all of the peak, but for gaps between buffers."""
    program = compiled(small_cnn(32, size=16), SMALL_CORES, batch=32)
    assert program.violation is not None
    numbers = [
        int(word) for word in program.violation.what.replace("(", " ").split() if word.isdigit()
    ]
    fixed, moving = numbers
    assert fixed + moving <= program.memory.peak <= 1.25 * (fixed + moving)


def test_parameters_that_fill_the_cores_get_a_hint_that_helps() -> None:
    """Weights alone fit four cores, but leave no room for 16 frames; at 4 bit they do."""
    target = changed_target({"array.rows": "2", "array.columns": "2", "core.memory": "22 KiB"})
    found = violation_of(mlp(16, (128, 256, 128)), target, batch=16)
    assert found.what.startswith("memory of one core")
    assert found.hints[0] == "a --batch below 16"
    assert found.hints[1].startswith("int4 weights (")
    assert found.hints[2] == "2 chips"
    assert compiled(mlp(16, (128, 256, 128), bits=4), target, batch=16).fits
    assert compiled(mlp(4, (128, 256, 128)), target, batch=4).fits


def test_the_nearest_of_the_plans_is_reported() -> None:
    """No price of memory makes it fit; the plan that is shown is the smallest found.

    The dearest memory does not give the smallest plan: buffers of different lives share addresses.
    """
    graph = small_cnn(3, size=10, channels=20)
    target = changed_target({"array.rows": "2", "array.columns": "2", "core.memory": "7 KiB"})
    mapper = Mapper(group_layers(graph), target, "throughput")
    peaks = [
        plan_memory(memory_demands(graph, mapper.map(weight)), target).peak
        for weight in mapper.memory_weights()
    ]
    assert min(peaks) < peaks[-1]
    assert violation_of(graph, target, batch=3).demanded == min(peaks)


@pytest.mark.parametrize("objective", ["throughput", "latency", "energy"])
def test_memory_gets_a_price_when_the_first_choice_does_not_fit(objective: str) -> None:
    """The plan fits in the end, with less than the fastest choice would take."""
    graph = small_cnn(8, size=16)
    roomy = compiled(graph, changed_target({"array.rows": "2", "array.columns": "2"}), batch=8)
    tight = compiled(graph, SMALL_CORES, batch=8, objective=objective)
    assert tight.fits
    assert tight.memory.peak <= 16 * 1024
    assert tight.memory.peak <= roomy.memory.peak
