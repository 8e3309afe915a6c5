"""A forecaster that is held to a wiring diagram.

Each neuron's context is mixed to `width` numbers; then, one to four times, every neuron hears the
numbers of those that synapse on it, weighted by the wiring, and takes them up. What a neuron does
with its own past and with what it hears is shared by all; which neuron hears which is the wiring.

    h0 = relu(enter x)
    m  = W h,   W[i, j] = sign(j) |gain| synapses(i, j) / norm
    h <- h + relu(own h + hear m)
    y  = forecast h + direct x
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.forecasters.residual_mlp import GlobalState
from zapdeploy.forecasters.sparse import Pattern
from zapdeploy.forecasters.wiring import BY_EDGE, WiringSpec


class MessageStep(nn.Module):
    """h + relu(own(h) + hear(m)). h, m: float [batch, width, neurons]; m None: nothing is heard."""

    def __init__(self, width: int, hears: bool) -> None:
        super().__init__()
        self.own = nn.Conv1d(width, width, 1)
        self.hear = nn.Conv1d(width, width, 1, bias=False) if hears else None
        self.relu = nn.ReLU()

    def forward(self, h: Tensor, m: Tensor | None) -> Tensor:
        taken = self.own(h)
        if self.hear is not None and m is not None:
            taken = taken + self.hear(m)
        result: Tensor = h + self.relu(taken)
        return result


class WiredForecaster(nn.Module):
    """Traces [batch, context, neurons] -> forecast [batch, horizon, neurons].

    Buffers hold the wiring: first int32 [neurons + 1] and pre int32 [edges] (CSR by receiver),
    strength float32 [edges], sign int8 [edges], kind int32 [neurons]. gain [steps, types^2 or
    edges] is learnt. adds_last: whether the forecast is the last frame and the change.
    """

    def __init__(
        self,
        neurons: int,
        context: int,
        width: int,
        horizon: int,
        wiring: WiringSpec,
        *,
        adds_last: bool = True,
    ) -> None:
        super().__init__()
        self.neurons, self.width, self.wiring, self.adds_last = neurons, width, wiring, adds_last
        self.first: Tensor
        self.pre: Tensor
        self.strength: Tensor
        self.sign: Tensor
        self.kind: Tensor
        self.register_buffer("first", torch.zeros(neurons + 1, dtype=torch.int32))
        self.register_buffer("pre", torch.zeros(wiring.edges, dtype=torch.int32))
        self.register_buffer("strength", torch.zeros(wiring.edges))
        self.register_buffer("sign", torch.zeros(wiring.edges, dtype=torch.int8))
        self.register_buffer("kind", torch.zeros(neurons, dtype=torch.int32))
        pairs = wiring.edges if wiring.gains == BY_EDGE else wiring.types**2
        hears = wiring.edges > 0
        self.gain = nn.Parameter(torch.ones(wiring.steps, pairs)) if hears else None
        self.enter = nn.Conv1d(context, width, 1)
        self.relu = nn.ReLU()
        self.state = _state_of(neurons, context, width, wiring.state) if wiring.state else None
        self.messages = nn.ModuleList(MessageStep(width, hears) for _ in range(wiring.steps))
        self.forecast = nn.Conv1d(width, horizon, 1)
        self.direct = nn.Conv1d(context, horizon, 1, bias=False)
        self._made: tuple[int, Pattern, Tensor, Tensor] | None = None

    def wire(self, connectome: Connectome) -> None:
        """Take over the edges of a connectome of these neurons, which the wiring says."""
        size = torch.from_numpy(connectome.synapses.copy())
        self.first.copy_(torch.from_numpy(connectome.first))
        self.pre.copy_(torch.from_numpy(connectome.pre))
        self.sign.copy_(torch.from_numpy(connectome.signs))
        self.kind.copy_(torch.from_numpy(connectome.kinds.copy()))
        # What arrives is then of the size of what was sent, on average over neurons.
        norm = (size.square().sum() / max(self.neurons, 1)).sqrt() if size.numel() else 1.0
        self.strength.copy_(size / norm)
        self._made = None

    def values(self, step: int) -> Tensor:
        """W of a step [edges], in the order of `pre`."""
        assert self.gain is not None
        _, pair, sign = self._pattern()
        gain = self.gain[step]
        if self.wiring.gains != BY_EDGE:
            gain = gain[pair]
        if self.wiring.signed:
            gain = torch.where(self.sign != 0, gain.abs(), gain)
        return self.strength * sign * gain

    def message(self, h: Tensor, step: int) -> Tensor | None:
        """What neurons hear of h [batch, width, neurons]; the same shape."""
        if self.gain is None:
            return None
        pattern = self._pattern()[0]
        batch, width, neurons = h.shape
        sent = h.permute(2, 0, 1).reshape(neurons, batch * width).contiguous()
        heard = pattern.times(self.values(step), sent)
        return heard.reshape(neurons, batch, width).permute(1, 2, 0)

    def _pattern(self) -> tuple[Pattern, Tensor, Tensor]:
        """Where the edges are, their pairs of types and signs; made when first needed."""
        key = self.pre.data_ptr()
        if self._made is None or self._made[0] != key:
            counts = torch.diff(self.first).long()
            post = torch.repeat_interleave(torch.arange(self.neurons), counts)
            pair = self.kind[post].long() * self.wiring.types + self.kind[self.pre.long()]
            sign = torch.where(self.sign == 0, 1, self.sign).float()
            self._made = (key, Pattern.of(self.first, self.pre), pair, sign)
        return self._made[1:]

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        if self.state is not None:
            h = h + self.state(x)
        h = self.relu(h)
        for step, layer in enumerate(self.messages):
            h = layer(h, self.message(h, step))
        change: Tensor = self.forecast(h) + self.direct(x)
        return change + x[:, -1:] if self.adds_last else change


def _state_of(neurons: int, context: int, width: int, size: int) -> GlobalState:
    """A pooled state of `size` numbers, given to each of `width` channels."""
    state = GlobalState(neurons, context, size)
    state.dense = nn.Linear(state.flat, width)
    return state
