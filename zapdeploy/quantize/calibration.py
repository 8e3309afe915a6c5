"""Runs the float network over sample inputs and records the values of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from zapdeploy.errors import DataError
from zapdeploy.quantize.network import CONVOLUTIONS, Network
from zapdeploy.quantize.ranges import Histogram, count_values
from zapdeploy.quantize.samples import Arrays, input_shapes

if TYPE_CHECKING:
    import onnxruntime

FREE_BATCH = 8  # how many samples run at once where the model leaves the batch open
LARGE_WEIGHT_ELEMENTS = 1024

Floats = NDArray[np.float32]
Run = Callable[[dict[str, Floats]], Iterator[tuple[str, Floats]]]


@dataclass(frozen=True)
class Statistics:
    """What was seen: histograms by tensor; mean [channels] of each matrix layer's input.

    The means are keyed by the layer's output name.
    """

    histograms: dict[str, Histogram]
    means: dict[str, NDArray[np.float64]]


def measure(network: Network, tensors: tuple[str, ...], samples: Arrays) -> Statistics:
    """Histograms of `tensors` and the layers' mean inputs over all samples.

    The network runs twice, once for the ranges and once to count, so that no activation is kept.
    """
    ranges = _ranges(network, tensors, samples)
    counts = {name: np.zeros(0, np.int64) for name in tensors}
    means: dict[str, NDArray[np.float64]] = {}
    readers = {name: [x for x in network.layers if x.input[0] == name] for name in _inputs(network)}
    run = runner(network, tuple(dict.fromkeys((*tensors, *readers))))
    batches = list(sample_batches(network, samples))
    for batch in batches:
        for name, values in run(batch):
            if name in counts:
                seen = count_values(values, *ranges[name])
                counts[name] = seen if not counts[name].size else counts[name] + seen
            for layer in readers.get(name, ()):
                axis = 1 if layer.op_type in CONVOLUTIONS else values.ndim - 1
                others = tuple(index for index in range(values.ndim) if index != axis)
                mean = values.mean(axis=others, dtype=np.float64) / len(batches)
                means[layer.output[0]] = means.get(layer.output[0], np.float64(0)) + mean
    return Statistics({name: Histogram(*ranges[name], counts[name]) for name in tensors}, means)


def _inputs(network: Network) -> tuple[str, ...]:
    """What matrix layers read."""
    return tuple(dict.fromkeys(layer.input[0] for layer in network.layers))


def _ranges(
    network: Network, tensors: tuple[str, ...], samples: Arrays
) -> dict[str, tuple[float, float]]:
    """The lowest and highest value of each tensor."""
    ranges = dict.fromkeys(tensors, (np.inf, -np.inf))
    run = runner(network, tensors)
    for batch in sample_batches(network, samples):
        for name, values in run(batch):
            low, high = ranges[name]
            # A NaN anywhere must survive into the result, which min() and max() do not promise.
            ranges[name] = (
                float(np.minimum(low, values.min())),
                float(np.maximum(high, values.max())),
            )
    for name in tensors:
        if not np.isfinite(ranges[name]).all():
            raise DataError(
                f"activations must be finite, not NaN or infinite (tensor {name!r}); "
                "check the calibration inputs and the weights"
            )
    return ranges


def sample_batches(network: Network, samples: Arrays) -> Iterator[dict[str, Floats]]:
    """The samples, as many at a time as the network takes."""
    size = next(iter(input_shapes(network).values()))[0] or FREE_BATCH
    count = len(next(iter(samples.values())))
    for start in range(0, count, size):
        yield {
            name: np.ascontiguousarray(values[start : start + size], np.float32)
            for name, values in samples.items()
        }


def runner(network: Network, tensors: tuple[str, ...]) -> Run:
    """A function from inputs to (name, values) of the wanted tensors."""
    computed = [name for name in tensors if name not in network.input_names]
    session = _session(network, computed) if computed else None

    def run(inputs: dict[str, Floats]) -> Iterator[tuple[str, Floats]]:
        for name in tensors:
            if name in inputs:
                yield name, inputs[name]
        if session is not None:
            yield from zip(computed, _outputs(session, computed, inputs), strict=True)

    return run


def _outputs(
    session: onnxruntime.InferenceSession, names: list[str], inputs: dict[str, Floats]
) -> list[Floats]:
    try:
        return list(session.run(names, inputs))
    except Exception as error:  # ONNX Runtime's exceptions have no common base class of their own
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"calibration must be inputs that the model runs on, not refused: {reason}; "
            "check their sizes"
        ) from error


def _session(network: Network, outputs: list[str]) -> onnxruntime.InferenceSession:
    """The float network with `outputs` as its outputs; it shares the weights' memory."""
    import onnxruntime

    graph = network.model.graph
    probe = onnx.ModelProto(ir_version=network.model.ir_version)
    probe.opset_import.extend(network.model.opset_import)
    probe.graph.name = graph.name
    probe.graph.node.extend(graph.node)
    probe.graph.input.extend(value for value in graph.input if value.name in network.input_names)
    for name in outputs:
        probe.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    names, values = [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.size < LARGE_WEIGHT_ELEMENTS:
            probe.graph.initializer.append(tensor)
            continue
        probe.graph.initializer.append(_elsewhere(tensor))
        names.append(tensor.name)
        values.append(onnxruntime.OrtValue.ortvalue_from_numpy(array))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if names:
        options.add_external_initializers(names, values)
    return onnxruntime.InferenceSession(
        probe.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _elsewhere(tensor: TensorProto) -> TensorProto:
    """The tensor without its values: these are handed to the session directly."""
    empty = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    empty.data_location = TensorProto.EXTERNAL
    empty.external_data.add(key="location", value="in-memory")
    return empty
