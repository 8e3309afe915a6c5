"""The graph evaluated whole, node by node: what a network computes, to the bit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

import zapdeploy.compile.ops  # noqa: F401  (registers the operators)
from zapdeploy.compile.graph import Array, Call, Graph, Node, Value
from zapdeploy.compile.ops.base import Evaluation, operator
from zapdeploy.errors import DataError
from zapdeploy.progress import StepProgress


def run(
    graph: Graph,
    inputs: Mapping[str, Array],
    *,
    keep: Collection[str] = (),
    progress: StepProgress | None = None,
) -> dict[str, Array]:
    """The graph's outputs for these inputs, and the values named in `keep`.

    A value is dropped after its last reader, so the peak is that of the network's widest place.
    Raises DataError for inputs that are not what the graph asks for.
    """
    functions = (_function(graph.call(node)) for node in graph.nodes)
    return _run(graph, functions, inputs, keep, progress)


@dataclass(frozen=True, eq=False)
class Network:
    """A graph made ready for many frames: its weights are laid out for the kernels once."""

    graph: Graph
    functions: tuple[Evaluation, ...]

    @classmethod
    def of(cls, graph: Graph) -> Network:
        calls = map(graph.call, graph.nodes)
        return cls(graph, tuple(operator(call.node.op).prepare(call) for call in calls))

    def run(
        self,
        inputs: Mapping[str, Array],
        *,
        keep: Collection[str] = (),
        progress: StepProgress | None = None,
    ) -> dict[str, Array]:
        """As the function `run`."""
        return _run(self.graph, self.functions, inputs, keep, progress)


def _run(
    graph: Graph,
    functions: Iterable[Evaluation],
    inputs: Mapping[str, Array],
    keep: Collection[str],
    progress: StepProgress | None,
) -> dict[str, Array]:
    validate(graph, inputs)
    wanted = {*graph.outputs, *keep}
    unknown = sorted(wanted - graph.values.keys())
    if unknown:
        raise DataError(f"values to keep must be in the graph, not '{unknown[0]}'")
    values = constants(graph) | {name: np.asarray(inputs[name]) for name in graph.inputs}
    last_reader = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    for index, (node, function) in enumerate(zip(graph.nodes, functions, strict=True)):
        values.update(_outputs(graph.call(node), function, values))
        for name in {*node.inputs, *node.outputs} - wanted:
            if last_reader.get(name, index) == index:
                values.pop(name, None)
        if progress is not None:
            progress(index + 1, len(graph.nodes))
    return {name: np.asarray(values[name], order="C") for name in values if name in wanted}


def run_node(graph: Graph, node: Node, values: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of one node, by name, from the values of its inputs."""
    call = graph.call(node)
    return _outputs(call, _function(call), values)


def _function(call: Call) -> Evaluation:
    return lambda inputs: operator(call.node.op).evaluate(call, inputs)


def _outputs(call: Call, function: Evaluation, values: Mapping[str, Array]) -> dict[str, Array]:
    results = function([values[name] if name else None for name in call.node.inputs])
    for value, array in zip(call.outputs, results, strict=True):
        assert array.shape == value.shape, (call.node.name, array.shape, value.shape)
        assert array.dtype == value.element.numpy, (call.node.name, array.dtype, value.element)
    return dict(zip(call.node.outputs, results, strict=True))


def constants(graph: Graph) -> dict[str, Array]:
    """The graph's constants by name."""
    return {name: v.data for name, v in graph.values.items() if v.data is not None}


def validate(graph: Graph, inputs: Mapping[str, Array]) -> None:
    """Raise DataError unless there is one fitting array for every input, and nothing else."""
    expected = ", ".join(f"'{name}'" for name in graph.inputs)
    for name in graph.inputs:
        if name not in inputs:
            raise DataError(f"input '{name}' must be given; the model's inputs are {expected}")
    for name in inputs:
        if name not in graph.inputs:
            raise DataError(f"inputs must be {expected}, not '{name}'; leave it out")
    for name in graph.inputs:
        _validate_one(graph.values[name], np.asarray(inputs[name]))


def _validate_one(value: Value, array: Array) -> None:
    if array.dtype != value.element.numpy:
        raise DataError(
            f"input '{value.name}' must be {value.element.numpy.name}, not {array.dtype.name}; "
            "convert it"
        )
    if array.shape != value.shape:
        raise DataError(
            f"input '{value.name}' must have shape {list(value.shape)}, not {list(array.shape)}; "
            "compile for another batch, or reshape it"
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        where = np.argwhere(np.isnan(array))[0].tolist()
        raise DataError(f"input '{value.name}' must be numbers, not NaN (at {where})")
    if value.element.is_integer and value.element.bits < 8 and array.size:
        low, high = value.element.limits
        worst = array.max() if array.max() > high else array.min()
        if not low <= worst <= high:
            raise DataError(
                f"input '{value.name}' must be in [{low}, {high}] ({value.element.name}), "
                f"not {worst}"
            )
