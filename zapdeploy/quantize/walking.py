"""Walks samples through a network, one layer at a time, and on to its outputs from any of them.

Everything between two matrix layers is one session of ONNX Runtime, and every layer one that takes
its weights as inputs: so a layer can be tried with others without running what stands before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from zapdeploy.arrays import Floats
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.quantize.execution import Values, part_session, run_part
from zapdeploy.quantize.network import Network
from zapdeploy.quantize.parts import Part, batch_size, grouped, tensor_types

if TYPE_CHECKING:
    import onnxruntime

Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Stop:
    """A matrix layer that the samples have come to, with what it reads, batch by batch."""

    layer: NodeProto
    read: Sequence[Floats]
    position: int


class Walk:
    """Batches of samples on their way through a network. Its weights are real numbers."""

    def __init__(self, network: Network, batches: Sequence[Values]) -> None:
        self.network = network
        types = tensor_types(network, batch_size(network))
        self.layers = {layer.output[0]: layer for layer in network.layers}
        self.biases: dict[str, Floats] = {}  # in the place of the network's own, by layer output
        self.parts = list(grouped(network, _groups(network), network.output_names))
        self.sessions = [
            _layer_session(network, part)
            if self._layer(part) is not None
            else part_session(network, part, types)
            for part in self.parts
        ]
        self.live: list[Values] = [dict(batch) for batch in batches]
        self.needed = [
            {name for part in self.parts[i + 1 :] for name in part.inputs} | network.output_names
            for i in range(len(self.parts))
        ]

    def stops(self) -> Iterator[Stop]:
        """Every layer in topological order; the walk goes on when the next one is asked for."""
        for position, part in enumerate(self.parts):
            layer = self._layer(part)
            if layer is not None:
                yield Stop(layer, [live[layer.input[0]] for live in self.live], position)
            self.live = [self._step(position, live) for live in self.live]

    def outputs(self) -> list[Outputs]:
        """The outputs once the walk has come to its end."""
        return [self._outputs(live) for live in self.live]

    def bias(self, layer: NodeProto) -> Floats | None:
        """A layer's bias on this walk."""
        if len(layer.input) < 3 or not layer.input[2]:
            return None
        own = self.biases.get(layer.output[0])
        return self.network.array(layer.input[2]) if own is None else own

    def outputs_with(
        self, stop: Stop, read: Sequence[Floats], weight: Floats, bias: Floats | None
    ) -> list[Outputs]:
        """The outputs if that layer read these values and had this weight and bias."""
        found = []
        for live, values in zip(self.live, read, strict=True):
            result = self.layer_result(stop, values, weight, bias)
            state = {**live, stop.layer.output[0]: result}
            for position in range(stop.position + 1, len(self.parts)):
                state = self._step(position, state)
            found.append(self._outputs(state))
        return found

    def layer_result(
        self, stop: Stop, values: Floats, weight: Floats, bias: Floats | None
    ) -> Floats:
        """What the layer makes of these values with this weight and bias."""
        layer = stop.layer
        feeds = {layer.input[0]: values, layer.input[1]: weight}
        if bias is not None:
            feeds[layer.input[2]] = bias
        found: Floats = self.sessions[stop.position].run(None, feeds)[0]
        return found

    def _layer(self, part: Part) -> NodeProto | None:
        if len(part.nodes) != 1:
            return None
        return self.layers.get(part.nodes[0].output[0])

    def _step(self, position: int, live: Values) -> Values:
        part = self.parts[position]
        layer = self._layer(part)
        if layer is None:
            found = run_part(self.sessions[position], part, live)
        else:
            weight, read = self.network.array(layer.input[1]), live[layer.input[0]]
            made = self.layer_result(Stop(layer, (), position), read, weight, self.bias(layer))
            found = {layer.output[0]: made}
        return {n: v for n, v in {**live, **found}.items() if n in self.needed[position]}

    def _outputs(self, live: Values) -> Outputs:
        return {name: live[name] for name in self.network.output_names if name in live}


def _groups(network: Network) -> list[list[NodeProto]]:
    """The nodes in order, every matrix layer alone."""
    layers = {layer.output[0] for layer in network.layers}
    groups: list[list[NodeProto]] = []
    alone = True
    for node in network.nodes:
        matrix = node.output[0] in layers
        if matrix or alone:
            groups.append([])
        groups[-1].append(node)
        alone = matrix
    return groups


def _layer_session(network: Network, part: Part) -> onnxruntime.InferenceSession:
    """A layer alone, with its weights as inputs."""
    (layer,) = part.nodes
    model = onnx.ModelProto(ir_version=network.model.ir_version)
    model.opset_import.extend(network.model.opset_import)
    model.graph.name = "layer"
    model.graph.node.append(layer)
    for name in layer.input:
        if name:
            value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            model.graph.input.append(value)
    model.graph.output.append(
        helper.make_tensor_value_info(layer.output[0], TensorProto.FLOAT, None)
    )
    return open_session(model, Purpose.CALIBRATION)
