"""LSTM, GRU and RNN with a sequence of known length, unrolled: every step written out.

    LSTM   i, o, f = f(x W' + h R' + b),  c~ = g(...),  c = f c + i c~,  h = o h(c)
    GRU    z, r = f(x W' + h R' + b),  h~ = g(...),  h = (1 - z) h~ + z h
    RNN    h = f(x W' + h R' + b)

The product with the inputs is one for all steps; that with the state is one for each. Shapes and
names are ONNX's: x [steps, batch, inputs], W [directions, gates x hidden, inputs], R [directions,
gates x hidden, hidden], B [directions, 2 gates x hidden].
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from onnx import NodeProto

from zapdeploy.errors import ModelError
from zapdeploy.simplify.registry import MICROSOFT, expands
from zapdeploy.simplify.walking import Place, Writer

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
_NUMBERED = {"affine": (1.0, 0.0), "leakyrelu": (0.01, 0.0), "thresholdedrelu": (1.0, 0.0),
             "scaledtanh": (1.0, 1.0), "hardsigmoid": (0.2, 0.5), "elu": (1.0, 0.0)}  # fmt: skip
_PLAIN = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softsign": "Softsign",
          "softplus": "Softplus"}  # fmt: skip


@expands("LSTM", "GRU", "RNN")
def recurrent(place: Place) -> Iterable[NodeProto] | None:
    """An LSTM, GRU or RNN as products, sums and functions, step by step."""
    return _Recurrence(place, place.node.op_type, place.writer()).written()


@expands("DynamicQuantizeLSTM", domains=(MICROSOFT,))
def dynamic_quantize_lstm(place: Place) -> Iterable[NodeProto] | None:
    """ONNX Runtime's: W and R are integers [directions, inputs, 4 hidden] with scales and zero
    points, and what they multiply is quantized as it comes."""
    return _Recurrence(place, "LSTM", place.writer(), quantized=True).written()


@dataclass
class _Recurrence:
    """One node. `quantized`: weights are integers and laid out the other way round."""

    place: Place
    op: str
    out: Writer
    quantized: bool = False
    hidden: int = 0
    steps: int = 0
    functions: list[tuple[str, float, float]] = field(default_factory=list)

    def written(self) -> list[NodeProto]:
        place, attributes = self.place, self.place.attributes
        direction = attributes.get("direction", "forward")
        count = _DIRECTIONS.get(direction)
        if count is None:
            raise place.error(f"direction must be one of {', '.join(_DIRECTIONS)}, not {direction}")
        self.hidden = int(attributes.get("hidden_size") or place.length(place.input(2), 2))
        self.functions = _functions(place, self.op, count)
        batch_first = bool(attributes.get("layout", 0))
        x = self._sequence(batch_first)
        self.steps = place.length(place.input(0), 1 if batch_first else 0)
        self._check_lengths()
        runs = [
            self._direction(x, index, direction == "reverse" or index == 1)
            for index in range(count)
        ]
        self._outputs(runs, batch_first)
        return self.out.nodes

    def _sequence(self, batch_first: bool) -> str:
        x = self.place.input(0)
        return self.out.node("Transpose", x, perm=(1, 0, 2)) if batch_first else x

    def _check_lengths(self) -> None:
        name = self.place.input(4)
        lengths = self.place.value(name) if name else None
        if name and (lengths is None or (lengths != self.steps).any()):
            raise self.place.error(
                f"sequence_lens must be {self.steps}, the whole sequence, for every frame; "
                "leave it out before the export"
            )

    def _direction(self, x: str, index: int, backwards: bool) -> tuple[list[str], str, str]:
        """The states after each step in the order of time, the last state, the last cell."""
        out = self.out
        weights = _Weights(self, index)
        gates_x = weights.of_inputs(x)
        if self.steps == 1:
            parts = [gates_x]
        else:
            parts = out.nodes_of("Split", (gates_x, out.constant("split", [1] * self.steps)),
                                 [""] * self.steps, axis=0)  # fmt: skip
        h, c = self._initial(5, index), self._initial(6, index) if self.op == "LSTM" else ""
        states = [""] * self.steps
        step = {"LSTM": self._lstm, "GRU": self._gru, "RNN": self._rnn}[self.op]
        functions = self.functions[index * len(FUNCTIONS[self.op]) :]
        for number in range(self.steps)[:: -1 if backwards else 1]:
            h, c = step(weights, functions, out.squeeze(parts[number], 0), h, c)
            states[number] = h
        return states, h, c

    def _initial(self, index: int, direction: int) -> str:
        """A state before the first step [batch, hidden]; zeros for every frame where it is absent.

        Zeros that the file writes down are absent too, so that the first products fall away.
        """
        name = self.place.input(index)
        known = self.place.value(name) if name else None
        if not name or (known is not None and not known.any()):
            return ""
        if self.place.attributes.get("layout", 0):
            name = self.out.node("Transpose", name, perm=(1, 0, 2))
        return self.out.squeeze(self.out.slice(name, direction, direction + 1, 0), 0)

    def _apply(self, function: tuple[str, float, float], x: str) -> str:
        name, alpha, beta = function
        clip = self.place.attributes.get("clip", 0.0)
        if clip:
            bounds = [self.out.constant("clip", float(v)) for v in (-clip, clip)]
            x = self.out.node("Clip", x, *bounds)
        return _activation(self.out, name, alpha, beta, x)

    def _parts(self, gates: str, *counts: int) -> list[str]:
        """Gates side by side [batch, gates x hidden], cut into groups of so many."""
        lengths = [count * self.hidden for count in counts]
        split = self.out.constant("split", lengths)
        return self.out.nodes_of("Split", (gates, split), [""] * len(counts), axis=-1)

    def _lstm(
        self, weights: _Weights, functions: list[tuple[str, float, float]], x: str, h: str, c: str
    ) -> tuple[str, str]:
        out = self.out
        gates = out.node("Add", x, weights.of_state(h)) if h else x
        f, g, last = functions[:3]
        peepholes = weights.peepholes()
        if peepholes or self.place.attributes.get("input_forget", 0):
            i, o, forget, fresh = self._parts(gates, 1, 1, 1, 1)
            i = self._apply(f, self._peeped(i, peepholes, 0, c))
            forget = self._apply(f, self._peeped(forget, peepholes, 2, c))
            if self.place.attributes.get("input_forget", 0):
                forget = out.node("Sub", out.constant("one", 1.0), i)
        else:
            three, fresh = self._parts(gates, 3, 1)
            i, o, forget = self._parts(self._apply(f, three), 1, 1, 1)
        cell = out.node("Mul", i, self._apply(g, fresh))
        if c:
            cell = out.node("Add", out.node("Mul", forget, c), cell)
        if peepholes:
            o = self._apply(f, self._peeped(o, peepholes, 1, cell))
        return out.node("Mul", o, _activation(out, *last, cell)), cell

    def _peeped(self, gate: str, peepholes: list[str], index: int, c: str) -> str:
        if not peepholes or not c:
            return gate
        return self.out.node("Add", gate, self.out.node("Mul", peepholes[index], c))

    def _gru(
        self, weights: _Weights, functions: list[tuple[str, float, float]], x: str, h: str, c: str
    ) -> tuple[str, str]:
        out, (f, g) = self.out, functions[:2]
        both_x, fresh_x = self._parts(x, 2, 1)
        linear_first = bool(self.place.attributes.get("linear_before_reset", 0))
        if h and linear_first:
            both_h, fresh_h = self._parts(weights.of_state(h), 2, 1)
        elif h:
            both_h, fresh_h = weights.of_state(h, 0, 2), ""
        else:
            both_h, fresh_h = "", weights.fresh_bias() if linear_first else ""
        both = self._apply(f, out.node("Add", both_x, both_h) if both_h else both_x)
        z, r = self._parts(both, 1, 1)
        if linear_first:
            added = out.node("Mul", r, fresh_h) if fresh_h else ""
        else:
            added = weights.of_state(out.node("Mul", r, h), 2, 1) if h else ""
        fresh = self._apply(g, out.node("Add", fresh_x, added) if added else fresh_x)
        # (1 - z) h~ + z h = h~ + z (h - h~)
        if not h:
            return out.node("Sub", fresh, out.node("Mul", z, fresh)), ""
        return out.node("Add", fresh, out.node("Mul", z, out.node("Sub", h, fresh))), ""

    def _rnn(
        self, weights: _Weights, functions: list[tuple[str, float, float]], x: str, h: str, c: str
    ) -> tuple[str, str]:
        gates = self.out.node("Add", x, weights.of_state(h)) if h else x
        return self._apply(functions[0], gates), ""

    def _outputs(self, runs: list[tuple[list[str], str, str]], batch_first: bool) -> None:
        """Y [steps, directions, batch, hidden], Y_h and Y_c [directions, batch, hidden]."""
        out, place = self.out, self.place
        if place.output(0):
            steps = [
                self._joined([out.unsqueeze(states[number], 0, 1) for states, _, _ in runs], 1)
                for number in range(self.steps)
            ]
            whole = self._joined(steps, 0)
            if batch_first:
                out.node("Transpose", whole, output=place.output(0), perm=(2, 0, 1, 3))
            else:
                out.node("Identity", whole, output=place.output(0))
        lasts = [[h for _, h, _ in runs], [c for _, _, c in runs]]
        for index, names in enumerate(lasts, 1):
            if place.output(index):
                axis = 1 if batch_first else 0
                last = self._joined([out.unsqueeze(name, axis) for name in names], axis)
                out.node("Identity", last, output=place.output(index))

    def _joined(self, parts: list[str], axis: int) -> str:
        return parts[0] if len(parts) == 1 else self.out.node("Concat", *parts, axis=axis)


class _Weights:
    """W, R, B and P of one direction, as products want them: [inputs, gates x hidden].

    GRU's bias of the state's part of the new value stays apart where the reset gate multiplies it.
    """

    def __init__(self, owner: _Recurrence, direction: int) -> None:
        self.owner, self.out, self.place = owner, owner.out, owner.place
        self.direction = direction
        self.gates = GATES[owner.op]
        self.apart = owner.op == "GRU" and bool(self.place.attributes.get("linear_before_reset", 0))
        self.turned: dict[tuple[int, int, int], str] = {}

    def of_inputs(self, x: str) -> str:
        """x W' + b for all steps."""
        product = self._product(x, 1, 0, self.gates)
        bias = self._bias(0)
        if bias:
            product = self.out.node("Add", product, bias)
        other = self._bias(1)
        if other and self.apart:
            rest = self.out.slice(other, 0, 2 * self.owner.hidden, 0)
            zeros = self.out.constant("zeros", np.zeros(self.owner.hidden, np.float32))
            other = self.out.node("Concat", rest, zeros, axis=0)
        return self.out.node("Add", product, other) if other else product

    def of_state(self, h: str, first: int = 0, count: int = 0) -> str:
        """h R' of some gates, all by default."""
        product = self._product(h, 2, first, count or self.gates)
        bias = self.fresh_bias() if self.apart else ""
        if not bias:
            return product
        zeros = self.out.constant("zeros", np.zeros(2 * self.owner.hidden, np.float32))
        return self.out.node("Add", product, self.out.node("Concat", zeros, bias, axis=0))

    def fresh_bias(self) -> str:
        """The bias of the state's part of the new value."""
        bias = self._bias(1)
        hidden = self.owner.hidden
        return self.out.slice(bias, 2 * hidden, 3 * hidden, 0) if bias else ""

    def peepholes(self) -> list[str]:
        """P cut into those of i, o and f; none where it is absent."""
        name = self.place.input(7)
        if self.owner.op != "LSTM" or not name:
            return []
        row = self._row(name)
        hidden = self.owner.hidden
        return [self.out.slice(row, i * hidden, (i + 1) * hidden, 0) for i in range(3)]

    def _row(self, name: str) -> str:
        part = self.out.slice(name, self.direction, self.direction + 1, 0)
        return self.out.squeeze(part, 0)

    def _bias(self, half: int) -> str:
        """Of the inputs (0) or of the state (1): [gates x hidden], empty where there is none."""
        name = self.place.input(3)
        if not name:
            return ""
        length = self.gates * self.owner.hidden
        return self.out.slice(self._row(name), half * length, (half + 1) * length, 0)

    def _product(self, x: str, index: int, first: int, count: int) -> str:
        if self.owner.quantized:
            return self._integer_product(x, index)
        return self.out.node("MatMul", x, self._turned(index, first, count))

    def _turned(self, index: int, first: int, count: int) -> str:
        key = (index, first, count)
        if key not in self.turned:
            row, hidden = self._row(self.place.input(index)), self.owner.hidden
            if count != self.gates:
                row = self.out.slice(row, first * hidden, (first + count) * hidden, 0)
            self.turned[key] = self.out.node("Transpose", row, perm=(1, 0))
        return self.turned[key]

    def _integer_product(self, x: str, index: int) -> str:
        """DynamicQuantizeLinear of x, MatMulInteger, and the product of both scales."""
        out, scale, zero = self.out, *((8, 9) if index == 1 else (10, 11))
        key = (index, 0, 0)
        if key not in self.turned:
            self.turned[key] = self._row(self.place.input(index))
        codes, scale_x, zero_x = out.nodes_of("DynamicQuantizeLinear", (x,), ["", "", ""])
        parameters = []
        for name in (self.place.input(scale), self.place.input(zero)):
            parameters.append(self._row(name))
        product = out.node("MatMulInteger", codes, self.turned[key], zero_x, parameters[1])
        real = out.node("Cast", product, to=1)
        return out.node("Mul", real, out.node("Mul", scale_x, parameters[0]))


def _functions(place: Place, op: str, directions: int) -> list[tuple[str, float, float]]:
    """Name, alpha and beta of each activation; alpha and beta are given to those that use them."""
    attributes = place.attributes
    names = attributes.get("activations") or list(FUNCTIONS[op]) * directions
    names = [n.decode() if isinstance(n, bytes) else n for n in names]
    if len(names) < directions * len(FUNCTIONS[op]):
        raise place.error(
            f"activations must be {directions * len(FUNCTIONS[op])} names, not {names}"
        )
    alphas = iter(attributes.get("activation_alpha", ()))
    betas = iter(attributes.get("activation_beta", ()))
    found = []
    for name in names:
        alpha, beta = _NUMBERED.get(name.lower(), (0.0, 0.0))
        if name.lower() in _NUMBERED:
            alpha = next(alphas, alpha)
            if name.lower() in ("affine", "scaledtanh", "hardsigmoid"):
                beta = next(betas, beta)
        elif name.lower() not in _PLAIN:
            raise place.error(f"activation must be one that ONNX defines, not {name}")
        found.append((name.lower(), float(alpha), float(beta)))
    return found


def _activation(out: Writer, name: str, alpha: float, beta: float, x: str) -> str:
    if name in _PLAIN:
        return out.node(_PLAIN[name], x)
    if name == "hardsigmoid":
        return out.node("HardSigmoid", x, alpha=alpha, beta=beta)
    if name in ("leakyrelu", "elu", "thresholdedrelu"):
        op = {"leakyrelu": "LeakyRelu", "elu": "Elu", "thresholdedrelu": "ThresholdedRelu"}[name]
        return out.node(op, x, alpha=alpha)
    if name == "affine":
        return out.node("Add", out.node("Mul", x, out.constant("alpha", alpha)),
                        out.constant("beta", beta))  # fmt: skip
    if name == "scaledtanh":
        inner = out.node("Mul", x, out.constant("beta", beta))
        return out.node("Mul", out.node("Tanh", inner), out.constant("alpha", alpha))
    raise ModelError(f"activation must be one that ONNX defines, not {name}")
