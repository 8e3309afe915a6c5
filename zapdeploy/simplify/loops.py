"""Loop and Scan with a number of rounds that is known: each round written out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import NodeProto

from zapdeploy.simplify.conditional import inlined, subgraph
from zapdeploy.simplify.registry import expands
from zapdeploy.simplify.walking import Place

MOST_ROUNDS = 4096


@expands("Loop")
def loop(place: Place) -> Iterable[NodeProto] | None:
    """The body gets the round's number, the condition and what is carried.

    A condition that the body computes must be true in every round but may be so at run time only
    where it is constant; then the loop ends where it is false.
    """
    body, count = subgraph(place, "body"), place.value(place.input(0)) if place.input(0) else None
    start = place.value(place.input(1)) if place.input(1) else np.asarray(True)
    if start is None or (count is None and place.input(0)) or not place.input(0):
        return None
    rounds = int(count.item()) if count is not None and start.all() else 0
    condition = body.output[0].name
    if rounds > MOST_ROUNDS or not _stays_true(body, condition):
        return None
    out, carried = place.writer(), list(place.node.input[2:])
    collected: list[list[str]] = [[] for _ in body.output[1 + len(carried) :]]
    for index in range(rounds):
        number = out.constant("round", np.asarray(index, np.int64))
        true = out.constant("true", np.asarray(True))
        inputs = dict(zip((v.name for v in body.input), (number, true, *carried), strict=True))
        names = [place.walk.fresh(f"{place.name}.{index}") for _ in body.output]
        out.nodes += inlined(place.walk, body, inputs, ["", *names[1:]], f"{place.name}.{index}")
        carried = names[1 : 1 + len(carried)]
        for found, name in zip(collected, names[1 + len(carried) :], strict=True):
            found.append(out.unsqueeze(name, 0))
    return _finished(place, out.nodes, carried, collected, 0)


def _stays_true(body: onnx.GraphProto, condition: str) -> bool:
    """Whether the body hands its condition on, or makes it a constant that is true."""
    if condition == body.input[1].name:
        return True
    for node in body.node:
        if condition in node.output:
            if node.op_type == "Identity":
                return _stays_true_of(body, node.input[0])
            return node.op_type == "Constant" and any(
                a.t.raw_data == b"\x01" for a in node.attribute
            )
    return any(t.name == condition and t.raw_data == b"\x01" for t in body.initializer)


def _stays_true_of(body: onnx.GraphProto, name: str) -> bool:
    return name == body.input[1].name or any(
        t.name == name and t.raw_data == b"\x01" for t in body.initializer
    )


@expands("Scan")
def scan(place: Place) -> Iterable[NodeProto] | None:
    """States and sequences in, states and collected results out."""
    attributes, body = place.attributes, subgraph(place, "body")
    number = attributes["num_scan_inputs"]
    states, sequences = list(place.node.input[:-number]), list(place.node.input[-number:])
    axes = attributes.get("scan_input_axes", [0] * number)
    backwards = attributes.get("scan_input_directions", [0] * number)
    results = len(body.output) - len(states)
    if any(attributes.get("scan_output_directions", [])):
        return None
    ranks = [len(place.shape(name)) for name in sequences]
    axes = [axis % rank for axis, rank in zip(axes, ranks, strict=True)]
    rounds = place.length(sequences[0], axes[0])
    if rounds > MOST_ROUNDS:
        return None
    out = place.writer()
    collected: list[list[str]] = [[] for _ in range(results)]
    for index in range(rounds):
        parts = []
        for name, axis, back in zip(sequences, axes, backwards, strict=True):
            at = rounds - 1 - index if back else index
            parts.append(out.node("Gather", name, out.constant("at", np.asarray(at)), axis=axis))
        inputs = dict(zip((v.name for v in body.input), (*states, *parts), strict=True))
        names = [place.walk.fresh(f"{place.name}.{index}") for _ in body.output]
        out.nodes += inlined(place.walk, body, inputs, names, f"{place.name}.{index}")
        states = names[: len(states)]
        for found, name in zip(collected, names[len(states) :], strict=True):
            found.append(name)
    axes_out = attributes.get("scan_output_axes", [0] * results)
    stacked = [
        [out.unsqueeze(name, axis) for name in found]
        for found, axis in zip(collected, axes_out, strict=True)
    ]
    return _finished(place, out.nodes, states, stacked, axes_out)


def _finished(
    place: Place,
    nodes: list[NodeProto],
    carried: list[str],
    collected: list[list[str]],
    axes: int | list[int],
) -> Iterable[NodeProto] | None:
    """What was carried and what was collected, under the names of the outputs."""
    out = place.writer()
    for name, output in zip(carried, place.node.output, strict=False):
        if output:
            out.node("Identity", name, output=output)
    for index, parts in enumerate(collected):
        output = place.output(len(carried) + index)
        if output and not parts:
            return None
        if output:
            axis = axes if isinstance(axes, int) else axes[index]
            out.node("Concat", *parts, output=output, axis=axis)
    return [*nodes, *out.nodes]
