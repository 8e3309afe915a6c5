"""Constants on the left, padding that no value is, reductions, fused attention, loops."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from tests.cli.world.writing import File, case, float32, int8, uint8


@case()
def time_first(file: File) -> None:
    file.output(
        file.node(
            "Add",
            [file.node("MatMul", [file.floats(6, 4), file.input("x", [4, 20])]), file.floats(6, 1)],
        )
    )


@case()
def left_constant_gemm(file: File) -> None:
    file.output(file.node("Gemm", [file.floats(4, 6), file.input("x", [4, 20])], transA=1))


@case()
def left_gemm_bias(file: File) -> None:
    file.output(
        file.node(
            "Gemm",
            [file.floats(6, 4), file.input("x", [4, 20]), file.floats(6, 1)],
            alpha=0.5,
            beta=2.0,
        )
    )


@case()
def left_gemm_matrix_added(file: File) -> None:
    file.output(
        file.node(
            "Gemm", [file.floats(6, 4), file.input("x", [20, 4]), file.floats(6, 20)], transB=1
        )
    )


@case()
def left_constant_batched(file: File) -> None:
    file.output(
        file.node(
            "MatMul",
            [
                file.node(
                    "Relu",
                    [file.node("MatMul", [file.floats(1, 6, 4), file.input("x", [2, 4, 20])])],
                ),
                file.floats(20, 3),
            ],
        )
    )


@case()
def pad_minus_infinity_maxpool(file: File) -> None:
    x = file.node(
        "Pad",
        [
            file.node("Conv", [file.input("x", [1, 2, 6, 6]), file.floats(3, 2, 1, 1)]),
            file.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])),
            file.constant(np.array(-np.inf, float32)),
        ],
    )
    file.output(
        file.node(
            "Conv",
            [
                file.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2]),
                file.floats(2, 3, 1, 1),
            ],
        )
    )


@case()
def pad_lowest_maxpool_qdq(file: File) -> None:
    x = file.qdq(
        file.node(
            "Relu",
            [
                file.node(
                    "Conv",
                    [
                        file.qdq(file.input("x", [1, 2, 6, 6]), 0.02, uint8(128)),
                        file.dequantized(file.codes(3, 2, 1, 1), 0.01, int8(0)),
                    ],
                )
            ],
        ),
        0.05,
        uint8(0),
    )
    x = file.node(
        "Pad",
        [
            x,
            file.constant(np.array([0, 0, 0, 0, 0, 0, 1, 1])),
            file.constant(np.array(-3.4028235e38, float32)),
        ],
    )
    file.output(
        file.qdq(
            file.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 0]),
            0.05,
            uint8(0),
        )
    )


@case()
def pad_infinity_read_twice(file: File) -> None:
    x = file.node("Conv", [file.input("x", [1, 2, 6, 6]), file.floats(3, 2, 1, 1)])
    p = file.node(
        "Pad",
        [
            x,
            file.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])),
            file.constant(np.array(-np.inf, float32)),
        ],
    )
    file.output(
        file.node(
            "Add",
            [
                file.node("MaxPool", [p], kernel_shape=[3, 3], strides=[2, 2]),
                file.node("MaxPool", [p], kernel_shape=[3, 3], strides=[2, 2]),
            ],
        )
    )


@case(18)
def reduce_zoo_18(file: File) -> None:
    x = file.node("Conv", [file.input("x", [1, 3, 6, 6]), file.floats(4, 3, 3, 3)])
    for op in ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"):
        file.output(file.node(op, [x, file.constant(np.array([2, 3]))], keepdims=0))
    file.output(file.node("ReduceL2", [x]))


@case()
def norm_zoo(file: File) -> None:
    x = file.node("MatMul", [file.input("x", [2, 8]), file.floats(8, 8)])
    file.output(file.node("LpNormalization", [x], axis=1))
    file.output(file.node("MeanVarianceNormalization", [x], axes=[1]))
    file.output(file.node("LogSoftmax", [x]))
    file.output(
        file.node("LRN", [file.node("Reshape", [x, file.constant(np.array([2, 8, 1, 1]))])], size=3)
    )


@case(17, ("com.microsoft",))
def fused_multihead(file: File) -> None:
    microsoft = {"domain": "com.microsoft"}
    x = file.input("x", [1, 6, 16])
    q, k, v = (file.node("MatMul", [x, file.floats(16, 16)]) for _ in range(3))
    file.output(file.node("MultiHeadAttention", [q, k, v], num_heads=4, **microsoft))


@case(17, ("com.microsoft",))
def multihead_bias_mask(file: File) -> None:
    microsoft = {"domain": "com.microsoft"}
    x = file.input("x", [1, 6, 16])
    q, k, v = (file.node("MatMul", [x, file.floats(16, 16)]) for _ in range(3))
    file.output(
        file.node(
            "MultiHeadAttention",
            [
                q,
                k,
                v,
                file.floats(48),
                file.input(
                    "m", [1, 6], TensorProto.INT32, give=np.array([[1, 1, 1, 1, 0, 0]], np.int32)
                ),
                file.floats(1, 4, 6, 6),
            ],
            num_heads=4,
            **microsoft,
        )
    )


@case(17, ("com.microsoft",))
def fused_attention(file: File) -> None:
    microsoft = {"domain": "com.microsoft"}
    file.output(
        file.node(
            "Attention",
            [file.input("x", [1, 6, 16]), file.floats(16, 48), file.floats(48)],
            num_heads=4,
            **microsoft,
        )
    )


@case()
def loop_fixed(file: File) -> None:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["s", "lw"], ["t"]),
            helper.make_node("Tanh", ["t"], ["o"]),
            helper.make_node("Identity", ["cond"], ["co"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("cond", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, [2, 8]),
        ],
        [
            helper.make_tensor_value_info("co", TensorProto.BOOL, []),
            helper.make_tensor_value_info("o", TensorProto.FLOAT, [2, 8]),
        ],
    )
    file.constant((file.random.normal(size=(8, 8)) * 0.3).astype(float32), "lw")
    file.output(
        file.node(
            "Loop",
            [file.constant(np.array(3)), file.constant(np.array(True)), file.input("x", [2, 8])],
            body=body,
        )
    )


@case()
def lstm_peephole(file: File) -> None:
    y = file.node(
        "LSTM",
        [
            file.input("x", [5, 1, 8]),
            file.floats(1, 24, 8),
            file.floats(1, 24, 6),
            file.floats(1, 48),
            "",
            "",
            "",
            file.floats(1, 18),
        ],
        3,
        hidden_size=6,
    )
    file.output(y[0])


@case()
def unsupported_many(file: File) -> None:
    x = file.node("MatMul", [file.input("x", [4, 8]), file.floats(8, 8)])
    x = file.node("Sin", [x])
    x = file.node("Mish", [x])
    x = file.node("Hardmax", [x])
    file.opset = 18
    file.output(file.node("MatMul", [x, file.floats(8, 2)]))


@case()
def sigmoid_far_below(file: File) -> None:
    """All results are near 1e-8, where ONNX Runtime's polynomials are right to 1e-7 of 1 only."""
    x = file.qdq(file.input("x", [2, 30]), 0.02, uint8(128))
    file.output(file.node("Sigmoid", [file.node("Sub", [x, file.constant(float32(18))])]))


@case()
def unrolled_too_long(file: File) -> None:
    weights = (file.floats(1, 16, 4), file.floats(1, 16, 4))
    made = file.node("LSTM", [file.input("x", [3000, 1, 4]), *weights], 3, hidden_size=4)
    file.output(made[1])
