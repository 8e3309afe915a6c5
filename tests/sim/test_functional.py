"""The graph evaluated whole: values, memory, refusals."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from tests.compile.ops.build import INT4, call, graph, plain, quantized
from tests.sim.networks import FOUR_BITS, renamed, residual_network
from zapdeploy.compile.graph import Array, Graph
from zapdeploy.errors import DataError
from zapdeploy.sim.functional import Network, run, run_node


def images(batch: int = 1) -> dict[str, Array]:
    return {"image": np.random.default_rng(3).normal(size=(batch, 3, 12, 12)).astype(np.float32)}


def tiny() -> Graph:
    """(2 a + b) in float32, by way of a sum that is read twice."""
    a, b = plain("a", (2,)), plain("b", (2,))
    s = call("Add", [a, b], plain("s", ()))
    t = call("Add", [s.output, a], plain("t", ()))
    return renamed(graph(s, t))


def test_by_hand() -> None:
    inputs = {"a": np.asarray([1, 2], np.float32), "b": np.asarray([10, 20], np.float32)}
    assert {k: v.tolist() for k, v in run(tiny(), inputs).items()} == {"t": [12, 24]}
    assert {k: v.tolist() for k, v in run(tiny(), inputs, keep=["s", "a"]).items()} == {
        "a": [1, 2],
        "s": [11, 22],
        "t": [12, 24],
    }


def test_one_node() -> None:
    made = tiny()
    values = {"a": np.ones(2, np.float32), "b": np.full(2, 4, np.float32)}
    assert run_node(made, made.nodes[0], values)["s"].tolist() == [5, 5]


@pytest.mark.parametrize("widths", [(), FOUR_BITS])
def test_a_batch_is_its_frames_one_by_one(widths: tuple[()]) -> None:
    several, one = residual_network(*widths, batch=3), residual_network(*widths, batch=1)
    inputs = images(3)
    together = run(several, inputs)["out"]
    alone = [run(one, {"image": inputs["image"][n : n + 1]})["out"] for n in range(3)]
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_prepared_network_gives_the_same_again_and_again() -> None:
    made = residual_network()
    network = Network.of(made)
    first = run(made, images(), keep=made.values.keys() - set(made.nodes[0].inputs))
    for _ in range(2):
        again = network.run(images(), keep=first.keys())
        for name, array in first.items():
            np.testing.assert_array_equal(array, again[name])


def test_outputs_lie_in_memory_in_order() -> None:
    """Whatever layout the kernels use inside."""
    made = residual_network()
    for array in run(made, images(), keep=["a", "s"]).values():
        assert array.flags.c_contiguous


def test_dead_values_are_freed() -> None:
    """A chain of 20 tensors of 1 MB never holds more than a few at once."""
    calls, value = [], plain("x", (256, 1024))
    for index in range(20):
        calls.append(call("Neg", [value], plain(f"y{index}", ())))
        value = calls[-1].output
    made = renamed(graph(*calls))
    x = np.ones((256, 1024), np.float32)
    tracemalloc.start()
    run(made, {"x": x})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * x.nbytes


def test_progress() -> None:
    seen: list[tuple[int, int]] = []
    inputs = {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}
    run(tiny(), inputs, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def codes_in() -> Graph:
    return graph(call("Dequantize", [quantized("q", (3,), INT4, 0.5)], plain("y", ())))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"a": np.ones(2, np.float32)},
            "input 'b' must be given; the model's inputs are 'a', 'b'",
        ),
        (
            {n: np.ones(2, np.float32) for n in "abc"},
            "inputs must be 'a', 'b', not 'c'; leave it out",
        ),
        (
            {"a": np.ones(2), "b": np.ones(2, np.float32)},
            "input 'a' must be float32, not float64; convert it",
        ),
        (
            {"a": np.ones((1, 2), np.float32), "b": np.ones(2, np.float32)},
            "input 'a' must have shape [2], not [1, 2]; compile for another batch, or reshape it",
        ),
        (
            {"a": np.asarray([1, np.nan], np.float32), "b": np.ones(2, np.float32)},
            "input 'a' must be numbers, not NaN (at [1])",
        ),
    ],
)
def test_refused_inputs(inputs: dict[str, Array], message: str) -> None:
    with pytest.raises(DataError) as caught:
        run(tiny(), inputs)
    assert str(caught.value) == message


@pytest.mark.parametrize("code", [8, -9])
def test_codes_outside_their_width(code: int) -> None:
    with pytest.raises(DataError) as caught:
        run(codes_in(), {"q": np.asarray([0, code, 1], np.int8)})
    assert str(caught.value) == f"input 'q' must be in [-8, 7] (int4), not {code}"


def test_unknown_value_to_keep() -> None:
    with pytest.raises(DataError) as caught:
        run(codes_in(), {"q": np.zeros(3, np.int8)}, keep=["nothing"])
    assert str(caught.value) == "values to keep must be in the graph, not 'nothing'"


def test_nodes_without_names_of_their_own() -> None:
    """Two nodes may share a name: values are freed by the place of their last reader."""
    made = tiny()
    nodes = tuple(replace(node, name="same") for node in made.nodes)
    inputs = {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}
    assert run(replace(made, nodes=nodes), inputs)["t"].tolist() == [3, 3]
