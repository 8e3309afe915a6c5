"""Cards in lock step: every card runs its own network on its own memory, until it needs what
another one has to send it.

A card is a generator. It yields the name of an input that it waits for, and, for every value that
others may be sent parts of, the name and the values that it made. Nothing reaches a card but what
the exchanges say: a piece that is not sent is never there, and the cards stand still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field

import numpy as np

from zapdeploy.compile.graph import Array, Graph
from zapdeploy.compile.space.cards import Cards
from zapdeploy.compile.space.pieces import Exchanges
from zapdeploy.errors import SimulationError
from zapdeploy.progress import StepProgress
from zapdeploy.sim.functional import Network, constants, validate

Made = tuple[str, Array]
Steps = Iterator[str | Made]
Mail = MutableMapping[str, Array]
# A card's network, ready: from its inputs, and what it is sent later, to what it does.
Runner = Callable[[Mail], Steps]


def run_cards(
    cards: Cards,
    inputs: Mapping[str, Array],
    runners: Mapping[int, Runner] | None = None,
    exchanges: Exchanges | None = None,
    progress: StepProgress = lambda done, total: None,
) -> dict[str, Array]:
    """The whole network's outputs, from what all cards make of their parts of the inputs.

    `runners`: by the number of a card's kind; each card's graph evaluated whole if not given.
    `exchanges`: what the cards send each other, the compiler's own if not given. Raises
    SimulationError where cards wait for what nobody sends.
    """
    graph = cards.cut.graph
    validate(graph, inputs)
    found = exchanges or cards.exchanges
    ready = runners or {k: whole_graph(cards.graph(m)) for k, m in enumerate(cards.models)}
    post = _Post(cards, found)
    for card in range(cards.number):
        post.mail[card].update(_own_inputs(cards, card, inputs))
    _run_all(
        [ready[kind](post.mail[card]) for card, kind in enumerate(cards.kinds)], post, progress
    )
    return {name: _joined(cards, name, post.made) for name in graph.outputs}


def whole_graph(graph: Graph) -> Runner:
    """A card's graph evaluated node by node."""
    network = Network.of(graph)
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    told = graph.exchanged.union(graph.outputs)

    def run(mail: Mail) -> Steps:
        values = constants(graph)
        yield from ((n, mail[n]) for n in graph.inputs if n in told and n in mail)
        for index, (node, function) in enumerate(zip(graph.nodes, network.functions, strict=True)):
            for name in filter(None, node.inputs):
                while name not in values and name in graph.inputs:
                    if name in mail:
                        values[name] = received(graph, mail, name)
                    else:
                        yield name
            results = function([values[name] if name else None for name in node.inputs])
            for name, array in zip(node.outputs, results, strict=True):
                values[name] = array
                if name in told:
                    yield name, array
            for name in {*node.inputs, *node.outputs}:
                if last.get(name, index) == index:
                    values.pop(name, None)

    return run


def received(graph: Graph, mail: Mapping[str, Array], name: str) -> Array:
    """What a card was sent as an input. Raises SimulationError where it is not of its shape."""
    wanted, array = graph.values[name].shape, mail[name]
    if array.shape != wanted:
        raise SimulationError(
            f"'{name}' must be sent with shape {list(wanted)}, not {list(array.shape)}"
        )
    return array


@dataclass(eq=False)
class _Post:
    """What was made, and what has arrived: `mail` [card][input]."""

    cards: Cards
    exchanges: Exchanges
    made: dict[tuple[int, str], Array] = field(default_factory=dict)
    mail: list[dict[str, Array]] = field(init=False)

    def __post_init__(self) -> None:
        self.mail = [{} for _ in range(self.cards.number)]

    def take(self, card: int, name: str, array: Array) -> None:
        """Send on what a card made, to all that are to have a part of it."""
        outputs = self.cards.cut.graph.outputs
        if name in outputs or name in self.exchanges.joinings:
            self.made[card, name] = array
        for gathering in self.exchanges.gatherings.values():
            if gathering.value != name:
                continue
            own = self.cards.cut.owned[name].low[card]
            for piece in np.flatnonzero(gathering.source == card).tolist():
                low, high = gathering.parts.low[piece] - own, gathering.parts.high[piece] - own
                part = array[tuple(map(slice, low, high))]
                self.mail[int(gathering.reader[piece])][gathering.input_name(piece)] = part
        if name in self.exchanges.joinings:
            self._join(name)

    def _join(self, name: str) -> None:
        joining = self.exchanges.joinings[name]
        parts = [self.made.get((int(card), name)) for card in joining.adders]
        if any(part is None for part in parts):
            return
        stacked = np.stack([part for part in parts if part is not None])
        for box in self.mail:
            box[joining.parts_name] = stacked


def _run_all(steps: list[Steps], post: _Post, progress: StepProgress) -> None:
    """Let every card go as far as it can, one after the other, until all are through."""
    waiting: dict[int, str] = dict.fromkeys(range(len(steps)), "")
    while waiting:
        moved = False
        for card in list(waiting):
            if waiting[card] and waiting[card] not in post.mail[card]:
                continue
            moved = True
            waiting[card] = _advance(card, steps[card], post)
            if not waiting[card]:
                del waiting[card]
                progress(len(steps) - len(waiting), len(steps))
        if not moved:
            card, name = next(iter(waiting.items()))
            raise SimulationError(
                f"card {card} must be sent '{name}' by another card, which none does"
            )


def _advance(card: int, steps: Steps, post: _Post) -> str:
    """Run a card to its end, "", or to the name of an input that has not arrived."""
    for step in steps:
        if isinstance(step, str):
            if step not in post.mail[card]:
                return step
        else:
            post.take(card, *step)
    return ""


def _own_inputs(cards: Cards, card: int, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """A card's part of the network's inputs."""
    found = {}
    for name in cards.cut.graph.inputs:
        box = cards.cut.owned[name]
        found[name] = np.asarray(inputs[name])[tuple(map(slice, box.low[card], box.high[card]))]
    return found


def _joined(cards: Cards, name: str, made: Mapping[tuple[int, str], Array]) -> Array:
    """A network output from the parts of all cards."""
    value, box = cards.cut.graph.values[name], cards.cut.owned[name]
    if value.data is not None:
        return value.data
    found: Array = np.zeros(value.shape, value.element.numpy)
    for card in range(cards.number):
        found[tuple(map(slice, box.low[card], box.high[card]))] = made[card, name]
    return found
