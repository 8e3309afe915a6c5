"""Whether ONNX Runtime's integer kernels saturate on this processor.

Without dot-product instructions (x86 before AVX-VNNI), they multiply uint8 by int8 with an
instruction that adds pairs of products in 16 bits and saturates: 255 x 127 x 2 does not fit. Seen
with ONNX Runtime 1.32 on a processor with AVX2: in a product of 64 random codes 70 % of the sums
are wrong. Products of uint8 by uint8 and of int8 by int8 take other instructions and are right.
"""

from __future__ import annotations

from functools import cache

import numpy as np

_DEPTH = 64


@cache
def saturates() -> bool:
    """Whether a product of uint8 by int8 comes out wrong here; tried once in a process."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    a = np.full((4, _DEPTH), 255, np.uint8)
    b = np.full((_DEPTH, 16), 127, np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "saturation",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, a.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
        [numpy_helper.from_array(b, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"a": a})
    return bool(np.any(found != _DEPTH * 255 * 127))
