"""Whole Programs: what is in them follows from the network, and the laws that hold for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.compile.program.zap_files import program_digest
from tests.networks import (
    ORIGIN,
    NetworkBuilder,
    changed_target,
    compiled,
    mesh,
    mlp,
    northpole,
    resnet50_program,
    small_cnn,
    small_cnn_program,
)
from zapdeploy.compile.graph import FLOAT32, Graph, Node, Value
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.mapping.cost import own_loads
from zapdeploy.compile.mapping.mapper import Mapper
from zapdeploy.compile.mapping.pricing import Counts, energy_of
from zapdeploy.compile.mapping.tiling import Cuts, space_of
from zapdeploy.compile.program.build import SharedWork, build_program, layer_program
from zapdeploy.compile.program.program import Options, Program
from zapdeploy.errors import ModelError
from zapdeploy.hardware_targets import load_target
from zapdeploy.sim.timing import time_program

OBJECTIVES = ("throughput", "latency", "energy")


PROGRAMS: dict[str, Callable[[], Program]] = {
    "resnet50": resnet50_program,
    "small_cnn": small_cnn_program,
    "small_cnn on tile64": partial(small_cnn_program, "tile64-sim"),
    "small_cnn for latency": partial(compiled, small_cnn(2), batch=2, objective="latency"),
    "small_cnn for energy": partial(compiled, small_cnn(2), batch=2, objective="energy"),
    "small_cnn on 2 x 3": partial(compiled, small_cnn(3), mesh(2, 3), batch=3),
    "ragged mlp": partial(compiled, mlp(5, (70, 33, 19)), mesh(4, 4), batch=5),
}


@pytest.fixture(params=PROGRAMS, scope="module")
def program(request: pytest.FixtureRequest) -> Program:
    return PROGRAMS[request.param]()


def test_it_fits(program: Program) -> None:
    assert program.fits
    assert program.memory.peak <= program.memory.limit
    assert program.mapping_gap >= 0


def test_no_layer_is_faster_than_its_bound(program: Program) -> None:
    for layer in program.layers:
        assert layer.cycles >= layer.bound_cycles, layer.name
        assert layer.cycles == max(layer.unit_cycles.values()) + layer.fill_cycles
        assert layer.unit_cycles[layer.limiter] == max(layer.unit_cycles.values())


def test_macs_are_the_network_s(program: Program) -> None:
    """Output elements times weights of one output channel, whatever the cut."""
    expected = 0
    for layer in group_layers(program.graph):
        if layer.anchor.node.op in ("Conv", "MatMul"):
            weights, channels = layer.anchor.input(1), layer.anchor.output.shape[1]
            expected += layer.anchor.output.size * weights.size // channels
    counts = [layer.counts for layer in program.layers]
    total = sum(c.macs_8bit + c.macs_4bit + c.macs_2bit for c in counts)
    assert sum(layer.macs for layer in program.layers) == total == expected


def test_macs_are_counted_at_their_width(program: Program) -> None:
    for layer in program.layers:
        assert getattr(layer.counts, f"macs_{layer.bits}bit") == layer.macs


def test_every_node_runs_once(program: Program) -> None:
    inside = [node for layer in program.layers for node in layer.nodes]
    views = [node.name for node in program.graph.nodes if node.op == "Reshape"]
    assert sorted(inside + views) == sorted(node.name for node in program.graph.nodes)


def test_cuts_use_no_more_cores_than_there_are(program: Program) -> None:
    for layer, grouped in zip(program.layers, group_layers(program.graph), strict=True):
        space = space_of(grouped)
        assert layer.digits == space.digits
        cuts = Cuts(space, np.array([layer.cut]), program.target.cores)
        assert cuts.used[0] <= program.target.cores
        assert (cuts.boxes.volume[0] > 0).sum() == cuts.used[0], "no tile is empty"


def test_fetches_are_consistent(program: Program) -> None:
    """A core gets no more than all do, and no port is busier than the busiest link or port."""
    inputs = set(program.graph.inputs)
    for layer in program.layers:
        for fetch in layer.fetches:
            assert fetch.received_bytes <= fetch.total_received_bytes
            assert fetch.sent_bytes <= fetch.total_sent_bytes <= fetch.total_received_bytes + 1
            assert fetch.received_bytes <= fetch.link_bytes + 1
            assert fetch.from_framebuffer == (fetch.source in inputs)


def test_counts_are_whole_and_never_negative(program: Program) -> None:
    for counts in (program.boundary_counts, *(layer.counts for layer in program.layers)):
        for name, value in vars(counts).items():
            assert type(value) is int, name
            assert value >= 0, name


def test_bytes_are_moved_at_least_once(program: Program) -> None:
    """Each layer writes its output and reads its parameters, at their true width."""
    by_name = {layer.name: layer for layer in group_layers(program.graph)}
    for layer in program.layers:
        grouped = by_name[layer.name]
        least = grouped.output.size * grouped.output.element.bits // 8
        least += sum(v.size * v.element.bits // 8 for v in grouped.parameters)
        assert layer.counts.memory_bytes >= least


def test_the_memory_plan_is_that_of_the_layers(program: Program) -> None:
    outputs = [b.name for b in program.memory.buffers if b.kind == "output"]
    assert sorted(outputs) == sorted(layer.name for layer in program.layers)
    for layer in program.layers:
        received = [
            b.size for b in program.memory.buffers if b.kind == "received" and b.name == layer.name
        ]
        assert sum(received) == sum(fetch.received_bytes for fetch in layer.fetches)


def test_work_that_is_shared_takes_as_many_core_cycles(program: Program) -> None:
    """Cores are busy no longer than the layer lasts."""
    for layer in program.layers:
        assert 0 < layer.counts.core_cycles <= program.target.cores * layer.cycles


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_same_input_gives_the_same_program(objective: str) -> None:
    first, second = (compiled(small_cnn(2), batch=2, objective=objective) for _ in range(2))
    assert program_digest(first) == program_digest(second)


def test_energy_as_objective_saves_energy() -> None:
    """And throughput as objective saves time; a per cent is left to the estimates of traffic."""

    def joules(program: Program) -> float:
        counts = sum((layer.counts for layer in program.layers), program.boundary_counts)
        return energy_of(counts, time_program(program).array_s, program.target).value

    for graph, batch in ((small_cnn(2, size=16, channels=32), 2), (mlp(8, (256, 512, 128)), 8)):
        fast = compiled(graph, batch=batch)
        frugal = compiled(graph, batch=batch, objective="energy")
        assert joules(frugal) <= 1.01 * joules(fast)
        assert time_program(fast).cycles <= 1.01 * time_program(frugal).cycles


def test_boundary_counts_by_hand() -> None:
    """mlp(1): 64 bytes in, 32 out, on 16 columns.

    Outputs are read from the cores, written to the framebuffer and read there by the host; inputs
    are written there by the host. An output byte passes 8.5 of 16 columns on the mean.
    """
    found = compiled(mlp(1)).boundary_counts
    assert found == Counts(
        memory_bytes=32,
        framebuffer_bytes=2 * 32 + 64,
        host_bytes=64 + 32,
        activation_bit_hops=32 * 8 * 17 // 2,
    )


def test_output_cycles_by_hand() -> None:
    """32 images x 1000 bytes at 512 B a cycle, and 15 hops: 62.5 + 15, rounded up."""
    assert resnet50_program().output_cycles == 78


def test_instruction_network_by_hand() -> None:
    """1 KiB at 32 B a cycle for every layer; a tree to 256 cores has 255 links."""
    for layer in resnet50_program().layers:
        assert layer.unit_cycles["instruction_network"] == 32
        assert layer.counts.instruction_bit_hops == 1024 * 8 * 255


def test_input_of_a_perceptron_by_hand() -> None:
    """On one core: 64 bytes come from the framebuffer over one link, and leave it once."""
    program = compiled(mlp(1, (64, 32)), mesh(1, 1))
    (layer,) = program.layers
    (fetch,) = layer.fetches
    assert fetch.from_framebuffer
    assert fetch.received_bytes == fetch.link_bytes == fetch.total_received_bytes == 64
    assert fetch.sent_bytes == 0
    assert fetch.total_sent_bytes == 64
    assert layer.counts.framebuffer_bytes == 64
    assert layer.counts.activation_bit_hops == 64 * 8
    assert layer.unit_cycles["activation_network"] == 2


def test_memory_traffic_includes_what_arrives_and_what_leaves() -> None:
    """One core: 2 x 32 B of vectors, 32 B of results, 64 x 32 + 32 x 8 B of parameters, 64 B in."""
    (layer,) = compiled(mlp(1, (64, 32)), mesh(1, 1)).layers
    assert layer.counts.memory_bytes == 64 + 32 + 64 * 32 + 32 * 8 + 64
    port = int(np.ceil((64 + 32 + 64 * 32 + 32 * 8) / 128)) + 1
    assert layer.unit_cycles["memory_port"] == port


def test_gap_of_resnet50() -> None:
    """What any other choice of the priced cuts could still save is below 2 %."""
    assert 0 <= resnet50_program().mapping_gap < 0.02


def test_nothing_to_compute() -> None:
    graph = Graph("empty", (), {"x": Value("x", (1,), FLOAT32)}, ("x",), ("x",))
    with pytest.raises(ModelError) as error:
        compiled(graph)
    assert str(error.value) == "model must compute something on the chip, not only on the host"


def test_conversions_alone_are_nothing_to_compute() -> None:
    """A quantizer of the input runs on the host."""
    quantized = mlp().values["in"]
    values = {"x": Value("x", quantized.shape, FLOAT32), "in": quantized}
    node = Node("q", "Quantize", ("x",), ("in",))
    with pytest.raises(ModelError, match="must compute something on the chip"):
        compiled(Graph("host", (node,), values, ("x",), ("in",)))


def test_progress_is_told() -> None:
    steps: list[tuple[str, int, int]] = []
    build_program(
        mlp(), ORIGIN, northpole(), "", Options(1, 1, "throughput"), lambda *s: steps.append(s)
    )
    assert steps
    assert all(0 <= done < total for _, done, total in steps)


def test_a_program_carries_what_it_was_made_from() -> None:
    program = small_cnn_program("tile64-sim")
    assert program.model == "small_cnn"
    assert program.origin == ORIGIN
    assert program.target == load_target("tile64-sim")
    assert program.options == Options(2, 1, "throughput")


# ---------------------------------------------------------------- laws over targets


def test_a_faster_clock_is_never_slower() -> None:
    """With the same cuts: cycles stay, seconds shrink until the host link is the limit."""
    program = resnet50_program()
    before = time_program(program)
    for clock in ("500 MHz", "800 MHz", "8 GHz"):
        after = time_program(replace(program, target=changed_target({"array.clock": clock})))
        assert after.cycles == before.cycles
        assert after.throughput_fps >= before.throughput_fps
        assert after.latency_s <= before.latency_s


@pytest.mark.parametrize(
    ("key", "unit"),
    [
        ("networks.model.width", "model_network"),
        ("networks.activation.width", "activation_network"),
        ("networks.partial_sum.width", "partial_sum_network"),
        ("networks.instruction.width", "instruction_network"),
        ("core.memory_port.width", "memory_port"),
        ("core.vector_unit.rate", "vector"),
        ("core.activation_unit.rate", "activation"),
    ],
)
def test_more_of_anything_is_never_slower_with_the_same_cuts(key: str, unit: str) -> None:
    """Layer by layer; and all units but the wider one take as long as before."""
    figure = dict(northpole().figures())[key]
    wider = changed_target({key: f"{2 * int(figure)} {figure.text.split(' ', 1)[1]}"})
    for graph in (small_cnn(2), mlp(8, (256, 512, 128))):
        for mapped in Mapper(group_layers(graph), northpole(), "throughput").map().layers:
            again = replace(mapped, loads=own_loads(mapped.layer, mapped.cuts, wider))
            before = layer_program(mapped, frozenset(graph.inputs), SharedWork(northpole()))
            after = layer_program(again, frozenset(graph.inputs), SharedWork(wider))
            assert after.cycles <= before.cycles
            assert after.counts == replace(before.counts, core_cycles=after.counts.core_cycles)
            changed = {u for u, c in before.unit_cycles.items() if after.unit_cycles[u] != c}
            assert changed <= {unit}


def test_a_view_between_layers_costs_nothing() -> None:
    """A reshaped tensor is where it was: same layers, same cycles."""

    def network(*, viewed: bool) -> Graph:
        net = NetworkBuilder("n")
        x = net.dense(net.input("x", (4, 32)), 32, name="a")
        if viewed:
            x = net.node("Reshape", (x,), 8, name="there", shape=(4, 8, 4))
            x = net.node("Reshape", (x,), 8, name="back", shape=(4, 32))
        return net.graph(net.dense(x, 16, name="b"))

    plain, viewed = compiled(network(viewed=False)), compiled(network(viewed=True))
    assert [la.cut for la in plain.layers] == [la.cut for la in viewed.layers]
    assert [la.cycles for la in plain.layers] == [la.cycles for la in viewed.layers]
