"""Core by core equals the whole graph in every bit: any operator, any network, any cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compile.ops.build import UINT8, call, graph, quantized
from tests.compile.ops.cases import CASES, inputs_of
from tests.compile.test_state import FILES, PAIR
from tests.cuts import drawn_by, recut
from tests.networks import changed_target, compiled, mesh, small_cnn
from tests.sim.networks import FOUR_BITS, residual_network
from tests.strategies import Network, quantized_networks
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Array, Graph
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.program.layer import lower
from zapdeploy.compile.program.program import Program
from zapdeploy.compile.state import with_state
from zapdeploy.sim.check import reference_inputs
from zapdeploy.sim.core_array import CoreArray
from zapdeploy.sim.functional import run
from zapdeploy.sim.memory_verifier import certify

ARRAYS = ((1, 1), (2, 2), (1, 3), (4, 4), (3, 5))


def assert_equal(program: Program, inputs: dict[str, Array]) -> None:
    lowered = lower(program)
    certify(lowered)
    found, expected = CoreArray(lowered).run(inputs), run(program.graph, inputs)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        assert found[name].tobytes() == array.tobytes()


# northpole-sim multiplies 8-bit operands at most.
ON_CHIP = [label for label in CASES if "int16" not in label]


@pytest.mark.parametrize("label", ON_CHIP)
def test_every_operator_under_drawn_cuts(label: str) -> None:
    """Each call as a network of its own, on 3 x 5 cores, by four cuts drawn at random."""
    one = CASES[label]
    made = graph(one)
    if not group_layers(made):
        pytest.skip("runs on the host or is a view")
    arrays = dict(zip(one.node.inputs, inputs_of(one, 3), strict=True))
    inputs = {name: np.asarray(arrays[name]) for name in made.inputs}
    program = compiled(made, mesh(3, 5))
    for seed in range(4):
        assert_equal(recut(program, drawn_by(np.random.default_rng(seed))), inputs)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(network=quantized_networks(), array=st.sampled_from(ARRAYS), seed=st.integers(0, 1 << 30))
def test_drawn_networks(
    tmp_path: Path, network: Network, array: tuple[int, int], seed: int
) -> None:
    """The mapper's cuts, and others."""
    path = tmp_path / "model.onnx"
    path.write_bytes(network.model.SerializeToString())
    made = import_model(path).graph
    if not group_layers(made):
        return
    program = compiled(made, mesh(*array))
    assert_equal(program, network.inputs)
    assert_equal(recut(program, drawn_by(np.random.default_rng(seed))), network.inputs)


@pytest.mark.parametrize("widths", [(), FOUR_BITS])
@pytest.mark.parametrize("seed", range(3))
def test_residual_network(widths: tuple[()], seed: int) -> None:
    made = residual_network(*widths, batch=2)
    images = np.random.default_rng(seed).normal(size=(2, 3, 12, 12)).astype(np.float32)
    program = compiled(made, mesh(4, 4), batch=2)
    assert_equal(recut(program, drawn_by(np.random.default_rng(seed))), {"image": images})


def _codes(made: Graph) -> dict[str, Array]:
    random = np.random.default_rng(5)
    values = (made.values[name] for name in made.inputs)
    return {v.name: random.integers(0, 16, v.shape).astype(v.element.numpy) for v in values}


def test_sums_over_many_cores() -> None:
    """Cuts of the reduction alone: 16 cores in chains, the longest one over all of them."""
    made = small_cnn(1)
    program = compiled(made, mesh(4, 4))
    whole = recut(program, lambda factors: int(np.argmax(factors[:, -1])))
    assert max(layer.cut[-1] for layer in whole.layers) == 16
    assert_equal(whole, _codes(made))


def test_float32_storage() -> None:
    """A chip whose vector unit is float32 stores real numbers in 4 bytes; values are the same."""
    target = changed_target({"array.rows": "2", "array.columns": "3"})
    unit = target.core.vector_unit.model_copy(update={"format": "float32"})
    target = target.model_copy(
        update={"core": target.core.model_copy(update={"vector_unit": unit})}
    )
    one = CASES["conv float out"]
    x = inputs_of(one, 3)[0]
    assert x is not None
    assert_equal(compiled(graph(one), target), {"x": x})


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("seed", range(3))
def test_state(tmp_path: Path, name: str, seed: int) -> None:
    """A cache that lies where the layer that writes it leaves it, in place or copied."""
    path = tmp_path / "model.onnx"
    path.write_bytes(FILES[name]().model().SerializeToString())
    made = with_state(import_model(path).graph, PAIR)
    program = recut(compiled(made, mesh(2, 3)), drawn_by(np.random.default_rng(seed)))
    random = np.random.default_rng(seed)
    inputs = reference_inputs(made, seed)
    for value in (made.values[before] for before, _ in made.state):
        inputs[value.name] = random.normal(size=value.shape).astype(value.element.numpy)
    assert_equal(program, inputs)


def test_a_tile_with_a_single_scale() -> None:
    """Three neurons with scales of their own on two cores: the second core has one of them.

    Its tile has one scale, but the tensor has not: the sum follows the formula for many.
    """
    a = quantized("a", (64, 3), UINT8, [0.011, 0.023, 0.037], [120, 121, 122], 1)
    b = quantized("b", (64, 3), UINT8, 0.0313, 99)
    made = graph(call("Add", [a, b], quantized("y", (), UINT8, 0.0411, 110)))
    program = recut(
        compiled(made, mesh(1, 2)),
        lambda factors: int(np.flatnonzero((factors == [1, 2, 1]).all(axis=1))[0]),
    )
    random = np.random.default_rng(0)
    codes = {name: random.integers(0, 256, (64, 3)).astype(np.uint8) for name in ("a", "b")}
    assert_equal(program, codes)


def test_frames_one_after_the_other() -> None:
    """The same cores run frame after frame; each is as if it were the first."""
    made = small_cnn(1)
    cores = CoreArray(lower(compiled(made, mesh(4, 4))))
    for seed in range(3):
        shape = made.values["image"].shape
        inputs = {"image": np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)}
        for name, array in run(made, inputs).items():
            np.testing.assert_array_equal(cores.run(inputs)[name], array)
