"""The functional simulator's exact integer kernels: fast, and in every bit plain integers.

    conv, matmul                     accumulate, and requantize if asked to
    prepare_conv, prepare_matmul     the same for repeated frames, with the weights packed once
    requantize                       int32 accumulators to 8 bits
    add, multiply                    the vector unit, in ONNX Runtime's formulas
    global_average_pool, max_pool

Tensors are [N, C, ...] as in ONNX. Whatever a kernel returns lies in memory with its channels as
neighbours, and is taken up most quickly in that layout (`channels_last`), so that a chain of layers
never transposes. Sums are int32 and wrap: callers make sure that they fit.

The modules, in the order in which data passes them: convolution and matmul; prepare (types, zero
points, choice of kernel); gather (which inputs each output reads); product (the sum that all share)
in packed, blas or depthwise; requantization. Beside them elementwise and pooling. Below packed:
tile (its machine code) for each of instruction_sets, and threads.
"""

from zapdeploy.compile.kernels.convolution import Convolution, conv, prepare_conv
from zapdeploy.compile.kernels.elementwise import (
    Quantization,
    add,
    multiply,
)
from zapdeploy.compile.kernels.layout import channels_last
from zapdeploy.compile.kernels.matmul import MatrixProduct, matmul, prepare_matmul
from zapdeploy.compile.kernels.pooling import global_average_pool, max_pool
from zapdeploy.compile.kernels.prepare import available_backends, set_backend
from zapdeploy.compile.kernels.requantization import Epilogue, Requantization, requantize
from zapdeploy.compile.kernels.threads import set_thread_count, thread_count

__all__ = [
    "Convolution",
    "Epilogue",
    "MatrixProduct",
    "Quantization",
    "Requantization",
    "add",
    "available_backends",
    "channels_last",
    "conv",
    "global_average_pool",
    "matmul",
    "max_pool",
    "multiply",
    "prepare_conv",
    "prepare_matmul",
    "requantize",
    "set_backend",
    "set_thread_count",
    "thread_count",
]
