"""What a forecaster is told of a wiring diagram: which one, and how it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.connectomes.controls import CONTROLS, WIRED, controlled
from zapdeploy.errors import UsageError

BY_TYPE, BY_EDGE = "type", "edge"
MOST_STEPS = 4


@dataclass(frozen=True)
class WiredOptions:
    """How edges are used. control: "wired", or the edges "shuffled", by "distance", or "none".
    steps: of messages, 1 to 4. gains: learnt for each pair of types, or for each edge. signed:
    whether a weight keeps its neuron's sign where that is known. state: numbers that a pooled
    state of all neurons has, 0 for none.
    """

    control: str = WIRED
    steps: int = 1
    gains: str = BY_TYPE
    signed: bool = True
    state: int = 0

    def __post_init__(self) -> None:
        if self.control not in CONTROLS:
            raise UsageError(
                f"--control must be one of {', '.join(CONTROLS)}, not '{self.control}'"
            )
        if not 1 <= self.steps <= MOST_STEPS:
            raise UsageError(f"--message-steps must be 1 to {MOST_STEPS}, not {self.steps}")
        if self.gains not in (BY_TYPE, BY_EDGE):
            raise UsageError(f"--gains must be type or edge, not '{self.gains}'")
        if self.state < 0 or self.state % 2:
            raise UsageError(f"--global-state must be an even number or 0, not {self.state}")


@dataclass(frozen=True)
class WiringSpec(WiredOptions):
    """The same, and what sizes and identifies the network: edges, types, the connectome's source
    and a digest of its edges as they are used."""

    edges: int = 0
    types: int = 1
    source: str = ""
    digest: str = ""


@dataclass(frozen=True, eq=False)
class Wiring:
    """A connectome of the neurons that are forecast, in their order, and how it is used."""

    connectome: Connectome
    options: WiredOptions

    def drawn(self, seed: int) -> Wiring:
        """With the edges of the control; a shuffle is another one for every seed."""
        return Wiring(controlled(self.connectome, self.options.control, seed), self.options)

    def spec(self) -> WiringSpec:
        """What forecaster.json says of it."""
        known = self.connectome
        digest = hashlib.sha256()
        for array in (known.post, known.pre, known.synapses, known.signs, known.kinds):
            digest.update(array.tobytes())
        types = int(known.kinds.max(initial=0)) + 1
        return WiringSpec(
            **asdict(self.options),
            edges=known.edges,
            types=types,
            source=known.source,
            digest=digest.hexdigest()[:16],
        )


def read_wiring(given: Mapping[str, Any] | None) -> WiringSpec | None:
    """From forecaster.json. Raises KeyError or TypeError where it is damaged."""
    if given is None:
        return None
    return WiringSpec(**{field.name: given[field.name] for field in fields(WiringSpec)})
