"""Runs a float network over samples and hands out the values of its tensors as they come.

It runs in parts, one after the other, and what no later part reads is dropped. The kernels are
those of the nodes as they stand: which tensors are wanted, and where the network is cut, changes no
bit of a value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper, numpy_helper

from zapdeploy.arrays import Arrays, Floats
from zapdeploy.errors import DataError
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.quantize.network import Network
from zapdeploy.quantize.parts import (
    Part,
    Types,
    bare_weight,
    batch_size,
    cut,
    is_large,
    reads,
    tensor_types,
)
from zapdeploy.quantize.samples import sample_runs

if TYPE_CHECKING:
    import onnxruntime

Values = dict[str, Floats]
Run = Callable[[Mapping[str, Floats]], Iterator[tuple[str, Floats]]]


def sample_batches(network: Network, samples: Arrays) -> Iterator[tuple[float, dict[str, Floats]]]:
    """The samples, as many at a time as the network takes, with their share of all."""
    return sample_runs(network, samples, batch_size(network))


def runner(network: Network, tensors: Collection[str]) -> Run:
    """A function from inputs to (name, values) of the wanted tensors, in topological order.

    Raises DataError where the model does not run on the inputs.
    """
    types = tensor_types(network, batch_size(network))
    parts = cut(network, tensors, types)
    sessions = [part_session(network, part, types) for part in parts]
    later = [{name for part in parts[i + 1 :] for name in part.inputs} for i in range(len(parts))]

    def run(inputs: Mapping[str, Floats]) -> Iterator[tuple[str, Floats]]:
        yield from ((name, values) for name, values in inputs.items() if name in tensors)
        live = dict(inputs)
        for part, session, needed in zip(parts, sessions, later, strict=True):
            found = run_part(session, part, live)
            live = {name: v for name, v in (live | found).items() if name in needed}
            for name in part.outputs:
                if name in tensors:
                    yield name, found.pop(name)

    return run


def run_part(
    session: onnxruntime.InferenceSession, part: Part, values: Mapping[str, Floats]
) -> Values:
    """What a part makes of the values that it reads."""
    feeds = {name: values[name] for name in part.inputs}
    try:
        return dict(zip(part.outputs, session.run(part.outputs, feeds), strict=True))
    except Exception as error:  # ONNX Runtime's exceptions have no common base class of their own
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"calibration must be inputs that the model runs on, not refused: {reason}; "
            "check their sizes"
        ) from error


def part_session(network: Network, part: Part, types: Types) -> onnxruntime.InferenceSession:
    """A part of the float network as it stands; it shares the weights' memory."""
    import onnxruntime

    read = {name for node in part.nodes for name in reads(node)}
    weights = [tensor for name, tensor in network.initializers.items() if name in read]
    elsewhere = [tensor for tensor in weights if is_large(tensor)]
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in elsewhere}
    held = {name: onnxruntime.OrtValue.ortvalue_from_numpy(a) for name, a in arrays.items()}
    model = _model(network, part, types, weights)
    return open_session(model, Purpose.CALIBRATION, weights=held)


def _model(
    network: Network, part: Part, types: Types, weights: list[TensorProto]
) -> onnx.ModelProto:
    """A part as a model of its own."""
    model = onnx.ModelProto(ir_version=network.model.ir_version)
    model.opset_import.extend(network.model.opset_import)
    graph = model.graph
    graph.name = network.model.graph.name
    graph.node.extend(part.nodes)
    graph.initializer.extend(bare_weight(tensor) for tensor in weights)
    own = {value.name: value for value in network.model.graph.input}
    own_outputs = {value.name: value for value in network.model.graph.output}
    for name in part.inputs:
        graph.input.append(own[name] if name in own else _value(name, types[name].element))
    for name in part.outputs:
        declared = own_outputs[name].type.tensor_type.elem_type if name in own_outputs else 0
        element = types[name].element if name in types else declared or TensorProto.FLOAT
        graph.output.append(_value(name, element))
    return model


def _value(name: str, element: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, None)
