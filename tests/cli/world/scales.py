"""Scales of zero, along what is summed over, of 16 bits; biases at the limits of int32."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from tests.cli.world.writing import File, case, float32, int8, uint8


@case()
def matmul_scale_per_input(file: File) -> None:
    file.output(
        file.qdq(
            file.node(
                "MatMul",
                [
                    file.qdq(file.input("x", [2, 16]), 0.02, int8(0)),
                    file.dequantized(
                        file.codes(16, 16),
                        file.random.uniform(0.002, 0.02, 16),
                        np.zeros(16, int8),
                        axis=0,
                    ),
                ],
            ),
            0.1,
            int8(0),
        )
    )


@case()
def gemm_scale_axis1_transb(file: File) -> None:
    file.output(
        file.qdq(
            file.node(
                "Gemm",
                [
                    file.qdq(file.input("x", [2, 16]), 0.02, int8(0)),
                    file.dequantized(
                        file.codes(8, 16),
                        file.random.uniform(0.002, 0.02, 16),
                        np.zeros(16, int8),
                        axis=1,
                    ),
                ],
                transB=1,
            ),
            0.1,
            int8(0),
        )
    )


@case()
def depthwise_scale_axis0(file: File) -> None:
    file.output(
        file.qdq(
            file.node(
                "Conv",
                [
                    file.qdq(file.input("x", [1, 6, 5, 5]), 0.02, uint8(128)),
                    file.dequantized(
                        file.codes(6, 1, 3, 3),
                        file.random.uniform(0.002, 0.02, 6),
                        np.zeros(6, int8),
                        axis=0,
                    ),
                ],
                group=6,
            ),
            0.1,
            uint8(128),
        )
    )


@case()
def dead_conv_channel_scale_zero(file: File) -> None:
    w = file.codes(6, 3, 3, 3)
    w[2] = 0
    s = file.random.uniform(0.002, 0.02, 6)
    s[2] = 0
    file.output(
        file.qdq(
            file.node(
                "Conv",
                [
                    file.qdq(file.input("x", [1, 3, 6, 6]), 0.02, uint8(128)),
                    file.dequantized(w, s, np.zeros(6, int8), axis=0),
                ],
            ),
            0.1,
            uint8(128),
        )
    )


@case()
def dead_everything_scale_zero(file: File) -> None:
    file.output(
        file.qdq(
            file.node(
                "Add",
                [
                    file.node(
                        "MatMul",
                        [
                            file.qdq(file.input("x", [2, 8]), 0.02, uint8(128)),
                            file.dequantized(file.codes(8, 6), 0.0, int8(0)),
                        ],
                    ),
                    file.constant(np.arange(6, dtype=float32)),
                ],
            ),
            0.1,
            uint8(128),
        )
    )


@case()
def dead_bias_scale_zero(file: File) -> None:
    w = file.codes(4, 8)
    w[2] = 0
    file.output(
        file.qdq(
            file.node(
                "Gemm",
                [
                    file.qdq(file.input("x", [2, 8]), 0.02, uint8(128)),
                    file.dequantized(w, [0.01, 0.02, 0, 0.01], np.zeros(4, int8), axis=0),
                    file.dequantized(
                        np.array([5, 9, 3000, 3], np.int32),
                        [0.0002, 0.0004, 0, 0.0002],
                        None,
                        axis=0,
                    ),
                ],
                transB=1,
            ),
            0.1,
            uint8(128),
        )
    )


@case()
def activation_scale_zero(file: File) -> None:
    file.output(
        file.qdq(
            file.node("Relu", [file.qdq(file.input("x", [2, 8]), 0.0, uint8(128))]), 0.1, uint8(128)
        )
    )


@case()
def dead_channel_scale_denormal(file: File) -> None:
    w = file.codes(8, 16)
    s = file.random.uniform(0.002, 0.02, 8)
    s[3] = 1e-40
    file.output(
        file.qdq(
            file.node(
                "Gemm",
                [
                    file.qdq(file.input("x", [1, 16]), 0.02, uint8(128)),
                    file.dequantized(w, s.astype(float32), np.zeros(8, int8), axis=0),
                ],
                transB=1,
            ),
            0.1,
            uint8(128),
        )
    )


@case(21)
def int16_activations(file: File) -> None:
    file.output(
        file.qdq(
            file.node(
                "Conv",
                [
                    file.qdq(file.input("x", [1, 2, 6, 6]), 0.0002, np.int16(0)),
                    file.dequantized(file.codes(3, 2, 3, 3), 0.01, int8(0)),
                ],
            ),
            0.001,
            np.int16(0),
        )
    )


@case(21)
def int4_blocked_conv1x1(file: File) -> None:
    w = file.random.integers(-7, 8, (8, 64, 1, 1))
    file.output(
        file.qdq(
            file.node(
                "Conv",
                [
                    file.qdq(file.input("x", [1, 64, 4, 4]), 0.02, int8(0)),
                    file.dequantized(
                        w,
                        file.random.uniform(0.01, 0.05, (8, 2, 1, 1)),
                        None,
                        t=TensorProto.INT4,
                        axis=1,
                        block_size=32,
                    ),
                ],
            ),
            0.1,
            int8(0),
        )
    )


@case()
def bias_int32_extremes(file: File) -> None:
    w = file.codes(4, 8)
    w[1] = 0
    file.output(
        file.qdq(
            file.node(
                "Gemm",
                [
                    file.qdq(file.input("x", [1, 8]), 0.02, uint8(128)),
                    file.dequantized(w, [0.01, 1e-09, 0.01, 0.01], np.zeros(4, int8), axis=0),
                    file.dequantized(
                        np.array([5, 2**31 - 1, -7, 3], np.int32),
                        [0.0002, 2e-11, 0.0002, 0.0002],
                        None,
                        axis=0,
                    ),
                ],
                transB=1,
            ),
            0.1,
            uint8(128),
        )
    )


@case()
def bias_int32_minimum(file: File) -> None:
    w = file.codes(4, 8)
    w[1] = 0
    file.output(
        file.qdq(
            file.node(
                "Conv",
                [
                    file.qdq(file.input("x", [1, 8, 2, 2]), 0.02, int8(0)),
                    file.dequantized(
                        w.reshape(4, 8, 1, 1), [0.01, 1e-09, 0.01, 0.01], np.zeros(4, int8), axis=0
                    ),
                    file.dequantized(
                        np.array([5, -(2**31), -7, 3], np.int32),
                        [0.0002, 2e-11, 0.0002, 0.0002],
                        None,
                        axis=0,
                    ),
                ],
            ),
            0.1,
            int8(0),
        )
    )


@case()
def bias_float(file: File) -> None:
    file.output(
        file.qdq(
            file.node(
                "Gemm",
                [
                    file.qdq(file.input("x", [2, 8]), 0.02, uint8(128)),
                    file.dequantized(file.codes(6, 8), 0.01, int8(0)),
                    file.floats(6),
                ],
                transB=1,
            ),
            0.1,
            uint8(128),
        )
    )


@case()
def dq_weight_only_conv(file: File) -> None:
    file.output(
        file.node(
            "Relu",
            [
                file.node(
                    "Conv",
                    [
                        file.input("x", [1, 3, 6, 6]),
                        file.dequantized(
                            file.codes(4, 3, 3, 3),
                            file.random.uniform(0.001, 0.01, 4),
                            np.zeros(4, int8),
                            axis=0,
                        ),
                    ],
                )
            ],
        )
    )


@case()
def tied_embedding(file: File) -> None:
    t = file.dequantized(file.codes(50, 16), 0.01, int8(0))
    e = file.node(
        "Gather",
        [t, file.input("ids", [1, 6], TensorProto.INT64, give=file.random.integers(0, 50, (1, 6)))],
    )
    file.output(
        file.qdq(
            file.node(
                "MatMul", [file.qdq(e, 0.01, int8(0)), file.node("Transpose", [t], perm=[1, 0])]
            ),
            0.1,
            int8(0),
        )
    )
