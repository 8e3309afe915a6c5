"""Outputs before what saturates them: noise that a softmax hides on some inputs flips its answer on
others, so bits are not chosen by what comes out of one."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from zapdeploy.quantize.network import Network
from zapdeploy.simplify.onnx_operators import COPIES, LAYOUT

# Behind them noise is hidden: what this method is about.
SATURATING = frozenset({"Softmax", "Sigmoid", "HardSigmoid", "Tanh", "ArgMax", "ArgMin", "TopK"})
_MOVES = LAYOUT | COPIES


def before_saturation(network: Network) -> Network:
    """The network with what its softmaxes and the like read as outputs, in the place of their own.

    Its nodes stay, so that a plan for one is a plan for the other.
    """
    own = {value.name: value for value in network.model.graph.output}
    names = dict.fromkeys(_source(network, name) for name in own)
    if list(names) == list(own):
        return network
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    del model.graph.output[:]
    model.graph.output.extend(
        own.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
    )
    return Network(model)


def with_outputs_of(network: Network, original: Network) -> Network:
    """The network with the outputs that it had."""
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    del model.graph.output[:]
    model.graph.output.extend(original.model.graph.output)
    return Network(model)


def _source(network: Network, output: str) -> str:
    """What the saturating operator at the end of an output reads; itself where there is none."""
    name = output
    while (node := network.producers.get(name)) is not None:
        if node.op_type in SATURATING:
            computed = node.input[0] in network.producers
            return str(node.input[0]) if computed else output
        if node.op_type not in _MOVES:
            break
        name = node.input[0]
    return output
