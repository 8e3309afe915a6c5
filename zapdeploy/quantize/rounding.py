"""GPTQ: codes that keep what a layer computes, not what its weights are.

Frantar et al., ICLR 2023. Weights are rounded one column after the other, and those that are still
to come make up for the error as far as the layer's inputs let them: as their second moments do,
H = sum over positions of x x'. The quantizer that the layer reads through adds noise of its own, of
step^2 / 12 in every input, to H.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from zapdeploy.arrays import Arrays, Floats
from zapdeploy.quantize.execution import runner, sample_batches
from zapdeploy.quantize.network import Network, attribute, numbers
from zapdeploy.quantize.ranges import Quantizer
from zapdeploy.quantize.weights import Rounder

MOST_COLUMNS = 4_608  # inputs of a layer, beyond which its weights go to the nearest code
MOST_MOMENTS = MOST_COLUMNS**2  # of all groups of a layer
POSITIONS = 8_192  # looked at in each layer at most, evenly spread
BLOCK = 128  # columns corrected at once; the rest after them
DAMPING = 0.01  # of the mean second moment, so that H can be inverted


class Rounding:
    """Second moments of what the layers of a float network read, and roundings by them.

    moments: float64 [groups, columns, columns] by the layer's output name, per position.
    """

    def __init__(self, moments: Mapping[str, NDArray[np.float64]]) -> None:
        self.moments = moments

    def of(self, layer: NodeProto, source: Quantizer) -> Rounder | None:
        """How the weights of a layer are rounded that reads through `source`; None is nearest."""
        moments = self.moments.get(layer.output[0])
        if moments is None:
            return None
        noise = float(np.mean(np.square(source.scale, dtype=np.float64))) / 12

        def rounder(rows: Floats, scales: Floats, low: int, high: int) -> NDArray[np.int8]:
            groups = zip(np.split(rows, len(moments)), np.split(scales, len(moments)), strict=True)
            parts = [
                gptq(part, own, moments[index], noise, (low, high))
                for index, (part, own) in enumerate(groups)
            ]
            return np.concatenate(parts)

        return rounder


def look_at(network: Network, samples: Arrays) -> Rounding:
    """Run the float network over the samples and take the second moments of its layers' inputs."""
    layers = [layer for layer in network.layers if can_be_rounded(network, layer)]
    readers: dict[str, list[NodeProto]] = {}
    for layer in layers:
        readers.setdefault(layer.input[0], []).append(layer)
    batches = list(sample_batches(network, samples))
    run, found = runner(network, tuple(readers)), dict[str, NDArray[np.float64]]()
    for _, batch in batches:
        for name, values in run(batch):
            for layer in readers.get(name, ()):
                seen = columns_of(network, layer, values, POSITIONS // len(batches))
                moments = np.matmul(seen, seen.transpose(0, 2, 1)).astype(np.float64)
                moments /= max(seen.shape[2], 1) * len(batches)
                found[layer.output[0]] = found.get(layer.output[0], np.float64(0)) + moments
    return Rounding(found)


def can_be_rounded(network: Network, layer: NodeProto) -> bool:
    """Whether its inputs can be laid out as columns, and their moments take little memory."""
    dims = network.initializers[layer.input[1]].dims
    if layer.op_type == "Conv":
        pads = any(
            a.name == "auto_pad" and a.s not in (b"NOTSET", b"VALID") for a in layer.attribute
        )
        groups, columns = int(attribute(layer, "group", 1)), int(np.prod(dims[1:]))
        return not pads and groups * columns**2 <= MOST_MOMENTS
    if layer.op_type not in ("Gemm", "MatMul"):
        return False
    return dims[1 if attribute(layer, "transB", 0) else 0] <= MOST_COLUMNS


def columns_of(network: Network, layer: NodeProto, values: Floats, most: int) -> Floats:
    """What a layer's weights multiply: [groups, columns, positions], `most` positions or so."""
    if layer.op_type != "Conv":
        flat = values.reshape(-1, values.shape[-1])
        return np.ascontiguousarray(flat[:: max(1, len(flat) // max(most, 1))].T)[None]
    window = tuple(network.initializers[layer.input[1]].dims[2:])
    space = len(window)
    pads = [int(p) for p in numbers(layer, "pads")] or [0] * 2 * space
    strides = [int(s) for s in numbers(layer, "strides")] or [1] * space
    dilations = [int(d) for d in numbers(layer, "dilations")] or [1] * space
    edges = [(0, 0), (0, 0), *zip(pads[:space], pads[space:], strict=True)]
    padded = np.pad(values, edges)
    reach = tuple((w - 1) * d + 1 for w, d in zip(window, dilations, strict=True))
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + space)))
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in strides))
    taps = tuple(slice(None, None, d) for d in dilations)
    views = views[(*steps, *taps)]  # [batch, channels, *positions, *window]
    groups = int(attribute(layer, "group", 1))
    places = np.indices((views.shape[0], *views.shape[2 : 2 + space])).reshape(1 + space, -1)
    places = places[:, :: max(1, places.shape[1] // max(most, 1))]
    picked = np.moveaxis(views, 1, 1 + space)[tuple(places)]  # [positions, channels, *window]
    grouped = picked.reshape(len(picked), groups, -1)
    return np.ascontiguousarray(grouped.transpose(1, 2, 0))


def gptq(
    rows: Floats,
    scales: Floats,
    moments: NDArray[np.float64],
    noise: float,
    bounds: tuple[int, int],
) -> NDArray[np.int8]:
    """Codes [channels, columns] for weights [channels, columns].

    moments: [columns, columns]; noise is added to each input's own.
    """
    count = rows.shape[1]
    hessian = moments + np.eye(count) * noise
    diagonal = np.diag(hessian)
    hessian = hessian + np.eye(count) * (DAMPING * max(float(diagonal.mean()), 1e-12))
    order = np.argsort(-np.diag(hessian), kind="stable")  # those that matter most come first
    factor = _inverse_factor(hessian[np.ix_(order, order)]).astype(np.float32)
    left = np.ascontiguousarray(rows[:, order])
    codes = np.empty(rows.shape, np.int8)
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        errors = np.empty((len(rows), end - start), np.float32)
        for column in range(start, end):
            own = left[:, column]
            code = np.clip(np.rint(own / scales), *bounds)
            codes[:, order[column]] = code
            error = (own - code * scales) / factor[column, column]
            left[:, column + 1 : end] -= np.outer(error, factor[column, column + 1 : end])
            errors[:, column - start] = error
        left[:, end:] -= errors @ factor[start:end, end:]
    return codes


def _inverse_factor(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper triangular U with U' U the inverse of a positive definite matrix."""
    inverse = np.linalg.inv(matrix)
    return np.asarray(np.linalg.cholesky((inverse + inverse.T) / 2).T, np.float64)
