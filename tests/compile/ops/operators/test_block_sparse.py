"""BlockSparse: joins the laws of all operators; random sparse matrices equal dense ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compile.frontend.onnx_files import OnnxFile
from tests.compile.ops.build import INT4, INT8, UINT8, call, constant, plain, quantized
from tests.compile.program.zap_files import load_program, save_program
from tests.cuts import drawn_by, recut
from tests.networks import compiled, mesh
from tests.sim.schedule.layers import with_random_cuts
from tests.sim.schedule.playing import play
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import (
    FLOAT32,
    INT32,
    Array,
    Call,
    ElementType,
    Graph,
    Node,
    Quantization,
    Value,
)
from zapdeploy.compile.mapping.bound import layer_bound
from zapdeploy.compile.ops.base import operator
from zapdeploy.compile.program.layer import lower
from zapdeploy.errors import ModelError
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.sim.check import check
from zapdeploy.sim.core_array import CoreArray
from zapdeploy.sim.functional import constants, run, run_node
from zapdeploy.sim.memory_verifier import certify
from zapdeploy.sim.reference import reference
from zapdeploy.sim.schedule import schedule
from zapdeploy.sim.ties import at_ties

UINT4, UINT16 = ElementType("uint", 4), ElementType("uint", 16)
_RANDOM = np.random.default_rng(5)


def sparse(
    x: Value,
    met: list[list[int]],
    rows: int,
    y: Value,
    element: ElementType,
    *,
    biased: bool = False,
) -> Call:
    """A product of groups that meet these blocks of x."""
    first = np.concatenate([[0], np.cumsum([len(blocks) for blocks in met])])
    blocks = np.array([b for group in met for b in group], np.uint16)
    (low, high), outputs = element.limits, rows * len(met)
    scale = _RANDOM.uniform(0.01, 0.04, outputs).astype(np.float32)
    meaning = Quantization(scale, np.zeros(1, np.int32), low, high, 0)
    shape = (blocks.size, rows, x.shape[2])
    codes = _RANDOM.integers(low, high + 1, shape)
    w = constant(Value("w", shape, element, meaning), codes)
    numbers = constant(plain("numbers", blocks.shape, UINT16), blocks)
    assert x.quantization is not None
    of_sums = Quantization(x.quantization.scale * scale, np.zeros(outputs), *INT32.limits, 0)
    bias = constant(Value("bias", (outputs,), INT32, of_sums), _RANDOM.integers(-99, 99, outputs))
    inputs = [x, w, bias if biased else None, None, None, numbers]
    return call("BlockSparse", inputs, y, first=tuple(first.tolist()), pattern=str(met))


_X = quantized("x", (3, 5, 4), UINT8, 0.02, 117)
_Y = quantized("y", (), UINT8, 0.3, 131)
_MET = [[0, 3], [], [4], [1, 2, 3, 4], [0]]
_X4, _Y4 = quantized("x", (2, 6, 2), UINT4, 0.25), quantized("y", (), INT4, 0.5, 1)
CALLS = {
    "block sparse": sparse(_X, _MET, 2, _Y, INT8, biased=True),
    "block sparse float out": sparse(_X, _MET, 2, plain("y", ()), INT8),
    "block sparse int4": sparse(_X4, [[5], [0, 1, 2, 3, 4, 5], [2]], 3, _Y4, INT4),
}


@dataclass(frozen=True)
class Drawn:
    """A sparse matrix [outputs, inputs] of codes, and files that multiply with it."""

    dense: Array
    length: int
    bits: int
    batch: int = 2

    @property
    def met(self) -> Array:
        """Which blocks hold a weight [groups, blocks]."""
        groups, blocks = (n // self.length for n in self.dense.shape)
        parts = self.dense.reshape(groups, self.length, blocks, self.length)
        return np.asarray(parts.any(axis=(1, 3)))

    def file(self, path: Path, *, as_blocks: bool, parts: int = 1) -> Path:
        """Quantized input and output around gathered blocks, or one dense convolution. parts:
        convolutions in which the groups stand, in a drawn order, which a last Gather undoes."""
        file, columns = OnnxFile(), self.dense.shape[1]

        def quantizer(real: str, scale: float) -> str:
            parameters = [file.constant(np.float32(scale)), file.constant(np.uint8(128))]
            return file.node(
                "DequantizeLinear", [file.node("QuantizeLinear", [real, *parameters]), *parameters]
            )

        def conv(x: str, codes: Array, groups: int) -> str:
            element = f"int{self.bits}" if self.bits < 8 else ""
            scale = file.constant(np.full(len(codes), 2.0**-6, np.float32))
            zero = file.constant(np.zeros(len(codes), np.int8), element=element)
            stored = file.constant(codes[..., None].astype(np.int8), element=element)
            w = file.node("DequantizeLinear", [stored, scale, zero], axis=0)
            flat = file.node("Reshape", [x, file.constant(np.array([self.batch, -1, 1]))])
            return file.node("Conv", [flat, w], group=groups)

        x = quantizer(file.input("x", (self.batch, columns)), 2.0**-5)
        if not as_blocks:
            y = conv(x, self.dense, 1)
        else:
            by_block = file.constant(np.array([self.batch, -1, self.length]))
            x = file.node("Reshape", [x, by_block])
            order = np.random.default_rng(parts).permutation(len(self.met))
            made = []
            for mine in np.array_split(order if parts > 1 else np.sort(order), parts):
                codes, met = self._blocks(mine)
                taken = file.node("Gather", [x, file.constant(met.reshape(-1))], axis=1)
                made.append(conv(taken, codes, mine.size))
            y = made[0]
            if parts > 1:
                y = file.node("Reshape", [file.node("Concat", made, axis=1), by_block])
                y = file.node("Gather", [y, file.constant(np.argsort(order))], axis=1)
                y = file.node("Reshape", [y, file.constant(np.array([self.batch, -1, 1]))])
        file.output(quantizer(y, 2.0**-2))
        path.write_bytes(file.model().SerializeToString())
        return path

    def _blocks(self, groups: Array) -> tuple[Array, Array]:
        """Weights [outputs, most blocks of a group * length] of some groups, and those blocks;
        filled up with block 0 and zeros."""
        met = self.met[groups]
        most = max(int(met.sum(axis=1).max()), 1)
        index = np.zeros((len(met), most), np.int64)
        codes = np.zeros((len(met), self.length, most, self.length), np.int64)
        parts = self.dense.reshape(len(self.met), self.length, -1, self.length)[groups]
        for g, row in enumerate(met):
            own = np.flatnonzero(row)
            index[g, : own.size] = own
            codes[g, :, : own.size] = parts[g][:, own]
        return codes.reshape(len(met) * self.length, -1), index

    def inputs(self) -> dict[str, Array]:
        random = np.random.default_rng(1)
        return {"x": random.normal(0, 2, (self.batch, self.dense.shape[1])).astype(np.float32)}


def drawn(seed: int, density: float, bits: int, length: int = 4, groups: int = 6) -> Drawn:
    """Random entries, an empty row of blocks, a hub that all hear and one that hears all."""
    random, size = np.random.default_rng(seed), length * groups
    limit = 2 ** (bits - 1) - 1
    dense = random.integers(-limit, limit + 1, (size, size))
    dense[random.random((size, size)) >= density] = 0
    dense[:, random.integers(size)] = random.integers(1, limit + 1, size)
    dense[random.integers(size)] = random.integers(1, limit + 1, size)
    empty = int(random.integers(groups)) * length
    dense[empty : empty + length] = 0
    return Drawn(dense, length, bits)


def densities() -> st.SearchStrategy[float]:
    return st.sampled_from((0.0001, 0.001, 0.01, 0.1, 0.5))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 1 << 30),
    density=densities(),
    bits=st.sampled_from((8, 4)),
    parts=st.integers(1, 3),
)
def test_sparse_equals_dense_in_every_bit(
    tmp_path: Path, seed: int, density: float, bits: int, parts: int
) -> None:
    """Whole and core by core, under any cut, and in however many convolutions the file has it; and
    ONNX Runtime's integers on the same file."""
    one = drawn(seed, density, bits)
    path = one.file(tmp_path / "sparse.onnx", as_blocks=True, parts=parts)
    sparse_graph = import_model(path).graph
    dense_graph = import_model(one.file(tmp_path / "dense.onnx", as_blocks=False)).graph
    assert [n.op for n in sparse_graph.nodes if n.op != "Reshape"][1:-1] == ["BlockSparse"]
    (wanted,) = run(dense_graph, one.inputs()).values()
    (found,) = run(sparse_graph, one.inputs()).values()
    assert wanted.tobytes() == found.tobytes()
    if bits == 8:
        session = open_session(path, Purpose.INTEGER)
        np.testing.assert_array_equal(session.run(None, one.inputs())[0], found)
    program = compiled(sparse_graph, mesh(3, 5), batch=2)
    for chosen in (program, recut(program, drawn_by(np.random.default_rng(seed)))):
        lowered = lower(chosen)
        certify(lowered)
        (by_core,) = CoreArray(lowered).run(one.inputs()).values()
        assert by_core.tobytes() == found.tobytes()


@pytest.mark.parametrize("bits", [8, 4])
def test_a_product_that_the_file_has_in_parts_is_judged_by_what_computes_it(
    tmp_path: Path, bits: int
) -> None:
    """Not by the gather behind, which is exact: a sum at a tie that float32 rounds the other way is
    excused, as it is in one convolution."""
    one = replace(drawn(4, 0.5, bits), batch=200)
    path = one.file(tmp_path / "sparse.onnx", as_blocks=True, parts=3)
    graph, inputs = import_model(path).graph, one.inputs()
    judge = reference(graph, path, inputs)
    (view,) = (n for n in graph.nodes if n.op == "Reshape" and "BlockSparse" in made_by(graph, n))
    assert judge.kernels[view.outputs[0]] == "Conv, QuantizeLinear"
    assert check(graph, path, inputs).passed
    # Where the scale is no power of two, sums near a tie are excused, behind the view as well.
    product = graph.producers()[view.inputs[0]]
    outputs = [graph.values[name] for name in (*product.outputs, *view.outputs)]
    assert outputs[0].quantization is not None
    meaning = replace(outputs[0].quantization, scale=np.float32(0.3))
    changed = {value.name: replace(value, quantization=meaning) for value in outputs}
    graph = replace(graph, values={**graph.values, **changed})
    quantizer = graph.producers()[graph.producers()[product.inputs[0]].inputs[0]]
    values = constants(graph) | inputs
    for node in (quantizer, graph.producers()[product.inputs[0]], product, view):
        values |= run_node(graph, node, values)
    plain = replace(changed[product.outputs[0]], element=FLOAT32, quantization=None)
    reals = run_node(replace(graph, values={**graph.values, plain.name: plain}), product, values)
    steps = reals[plain.name].astype(np.float64) / np.float32(0.3)
    near = (np.abs(steps - np.floor(steps) - 0.5) < 1e-3).reshape(values[view.outputs[0]].shape)
    assert near.any()
    ours = values[view.outputs[0]]
    assert at_ties(graph, view, values, ours, ours + near.astype(ours.dtype)) == near.sum()


def made_by(graph: Graph, view: Node) -> str:
    before = graph.producers().get(view.inputs[0])
    return "" if before is None else before.op


@pytest.mark.parametrize("density", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("bits", [8, 4])
def test_counts_are_those_of_the_blocks(tmp_path: Path, density: float, bits: int) -> None:
    """By hand: a block is length x length products for each of two frames, and as many weights of
    `bits`, the number of its block (2 bytes); a row has a scale (4 bytes)."""
    one = drawn(11, density, bits, length=32, groups=8)
    graph = import_model(one.file(tmp_path / "sparse.onnx", as_blocks=True)).graph
    program = compiled(graph, mesh(2, 4), batch=2)
    blocks = int(one.met.sum())
    (layer,) = program.layers
    assert layer.macs == blocks * 32 * 32 * 2
    (events,) = lower(program).layers
    parameters = events.parameters
    stored = int((parameters.stored_high - parameters.stored_low).sum())
    assert stored == blocks * (32 * 32 * bits // 8 + 2) + 4 * 256


def test_only_blocks_that_are_met_are_sent(tmp_path: Path) -> None:
    """Eight cores, a group each; each is sent the blocks of its group and nothing else, once along
    each row's port."""
    one = drawn(3, 0.002, 8, length=32, groups=8)
    graph = import_model(one.file(tmp_path / "sparse.onnx", as_blocks=True)).graph
    program = compiled(graph, mesh(2, 4), batch=2)
    cut = recut(program, lambda factors: int((factors == (1, 8, 1, 1)).all(axis=1).argmax()))
    (events,) = lower(cut).layers
    (delivery,) = events.deliveries
    assert delivery.messages.received_elements.tolist() == (one.met.sum(axis=1) * 64).tolist()
    by_row = one.met.reshape(2, 4, 8).any(axis=1).sum() * 64
    assert delivery.messages.elements.sum() == by_row
    fetch = cut.layers[0].fetches[0]
    assert fetch.received_bytes == one.met.sum(axis=1).max() * 64
    assert fetch.total_sent_bytes == by_row


@pytest.mark.parametrize("seed", range(6))
def test_the_schedule_is_the_reference_machines(tmp_path: Path, seed: int) -> None:
    """Two sparse layers one after the other, under random cuts, in every cycle."""
    one = drawn(seed, (0.01, 0.1, 0.5)[seed % 3], (8, 4)[seed % 2], length=16, groups=12)
    graph = twice(import_model(one.file(tmp_path / "sparse.onnx", as_blocks=True)).graph)
    program = with_random_cuts(compiled(graph, mesh(4, 4), batch=2), np.random.default_rng(seed))
    for layer in schedule(program).layers:
        assert play(layer) == layer.end
        assert layer.cycles >= max(layer_bound(layer.events.layer, program.target).values())


def twice(graph: Graph) -> Graph:
    """The product applied to its own output, whose codes have the input's type."""
    product = next(node for node in graph.nodes if node.op == "BlockSparse")
    x, y = graph.values[product.inputs[0]], graph.values[product.outputs[0]]
    between = replace(x, name="between", quantization=y.quantization)
    again = replace(y, name="again")
    nodes = (
        *(node for node in graph.nodes if node.op != "Dequantize"),
        Node("between", "Reshape", (y.name,), ("between",)),
        replace(product, name="again", inputs=("between", *product.inputs[1:]), outputs=("again",)),
    )
    values = {**graph.values, "between": between, "again": again}
    return replace(graph, outputs=("again",)).with_nodes(nodes, values)


def test_two_matrices_of_one_shape_are_priced_apart(tmp_path: Path) -> None:
    """As many blocks in other places: other cores need them, and the pattern says so."""
    found = []
    for seed in (1, 2):
        one = drawn(seed, 0.0, 8, length=4, groups=6)
        (node,) = (
            n
            for n in import_model(one.file(tmp_path / "s.onnx", as_blocks=True)).graph.nodes
            if n.op == "BlockSparse"
        )
        found.append(node.attributes["pattern"])
    assert found[0] != found[1]


@pytest.mark.parametrize("broken", ["two readers", "zero point", "kernel"])
def test_what_is_no_sparse_product_stays_as_it_is(tmp_path: Path, broken: str) -> None:
    file = OnnxFile()
    parameters = [file.constant(np.float32(0.1)), file.constant(np.uint8(128))]
    codes = file.node("QuantizeLinear", [file.input("x", (2, 8)), *parameters])
    x = file.node("DequantizeLinear", [codes, *parameters])
    x = file.node("Reshape", [x, file.constant(np.array([2, 4, 2]))])
    taken = file.node("Gather", [x, file.constant(np.array([0, 2, 1, 3]))], axis=1)
    kernel = 2 if broken == "kernel" else 1
    x = file.node("Reshape", [taken, file.constant(np.array([2, 8 // kernel, kernel]))])
    zero = np.full(4, 3 if broken == "zero point" else 0, np.int8)
    weights = np.ones((4, 4 // kernel, kernel), np.int8)
    scales = [file.constant(np.full(4, 0.1, np.float32)), file.constant(zero)]
    w = file.node("DequantizeLinear", [file.constant(weights), *scales], axis=0)
    y = file.node("Conv", [x, w], group=2)
    codes = file.node("QuantizeLinear", [y, *parameters])
    file.output(file.node("DequantizeLinear", [codes, *parameters]))
    if broken == "two readers":
        codes = file.node("QuantizeLinear", [taken, *parameters])
        file.output(file.node("DequantizeLinear", [codes, *parameters]))
    path = tmp_path / "other.onnx"
    path.write_bytes(file.model().SerializeToString())
    assert "Conv" in {node.op for node in import_model(path).graph.nodes}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"first": (0, 2, 3, 7, 8)}, "must hold all 8 blocks|must be of equal length"),
        ({"first": (0, 2, 1, 3, 7, 8)}, "must hold all 8 blocks in order"),
    ],
)
def test_what_does_not_go_together(changed: dict[str, tuple[int, ...]], message: str) -> None:
    one = CALLS["block sparse"]
    node = replace(one.node, attributes={**one.node.attributes, **changed})
    assert one.node.attributes["first"] == (0, 2, 2, 3, 7, 8)
    if changed["first"][1:3] == (2, 3):
        assert operator("BlockSparse").infer(replace(one, node=node)) == ((3, 8, 1),)
        return
    with pytest.raises(ModelError, match=message):
        operator("BlockSparse").infer(replace(one, node=node))


def test_a_program_with_more_blocks_than_outputs_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Scales of the weights run over outputs, of which there are fewer than blocks."""
    one = drawn(1, 0.5, 4, groups=8)
    program = compiled(
        import_model(one.file(tmp_path / "s.onnx", as_blocks=True)).graph, mesh(2, 2)
    )
    (product,) = (call for call in program.graph.calls() if call.node.op == "BlockSparse")
    meaning = product.input(1).quantization
    assert meaning is not None
    assert meaning.scale.size == product.output.shape[1] < product.input(1).shape[0]
    save_program(program, tmp_path / "s.zap")
    again = load_program(tmp_path / "s.zap").graph.values[product.input(1).name].quantization
    assert again is not None
    assert np.array_equal(again.scale, meaning.scale)


def test_blocks_beyond_the_input_are_refused() -> None:
    one = CALLS["block sparse"]
    numbers = one.input(5)
    assert numbers.data is not None
    beyond = replace(numbers, data=np.where(numbers.data == 4, 5, numbers.data))
    with pytest.raises(ModelError, match=r"blocks must be in \[0, 5\)"):
        operator("BlockSparse").infer(replace(one, inputs=(*one.inputs[:5], beyond)))
