"""What was counted: whole numbers that add up over cores, layers and frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from zapdeploy.compile.mapping.levels import RANDOM, Level, level_of_products, level_of_words
from zapdeploy.compile.regions import IntArray

NETWORKS = ("model", "activation", "partial_sum")
# Words through a core's memory port, by why they are there.
STREAMS = ("vectors", "operands", "parameters", "sent", "received", "written")


@dataclass(eq=False)
class Words:
    """Bits of words that follow one another, their ones, and those that differ from the word
    before; arrays over cores or links."""

    bits: IntArray
    ones: IntArray
    toggles: IntArray

    @classmethod
    def none(cls, places: int) -> Words:
        return cls(*(np.zeros(places, np.int64) for _ in range(3)))

    def add(self, places: IntArray, bits: IntArray, ones: IntArray, toggles: IntArray) -> None:
        """Count words at these places, which may repeat."""
        for mine, more in ((self.bits, bits), (self.ones, ones), (self.toggles, toggles)):
            np.add.at(mine, places, more)

    def __iadd__(self, other: Words) -> Words:
        for f in fields(self):
            getattr(self, f.name).__iadd__(getattr(other, f.name))
        return self

    @property
    def level(self) -> Level | None:
        """Relative to random data; None where there are no words."""
        bits = int(self.bits.sum())
        if not bits:
            return None
        return level_of_words(self.ones.sum() / bits, self.toggles.sum() / bits)

    def as_json(self) -> dict[str, float | int]:
        bits = int(self.bits.sum())
        ones, toggles = int(self.ones.sum()), int(self.toggles.sum())
        shares = {"ones_share": ones / max(bits, 1), "toggles_share": toggles / max(bits, 1)}
        return {"bits": bits, "ones": ones, "toggles": toggles, **shares}


@dataclass(eq=False)
class Products:
    """What meets in the matrix unit [cores].

    `inputs`, `weights`: operands that were presented (an input to all its products, a weight once
    for each load), `zero_...`: those with no bit set. `zero_products`: of the multiply-accumulates,
    those with such an operand. `operand_bits`: of operands, once for each product they enter or are
    loaded for; `operand_toggles`: those that differ from the operand before. `multiplier_toggles`:
    those that meet another operand than zero, and so move something inside; `gated_toggles`: where
    products with a zero operand are withheld.
    """

    macs: IntArray
    zero_products: IntArray
    inputs: IntArray
    zero_inputs: IntArray
    weights: IntArray
    zero_weights: IntArray
    operand_bits: IntArray
    operand_toggles: IntArray
    multiplier_toggles: IntArray
    gated_toggles: IntArray

    @classmethod
    def none(cls, cores: int) -> Products:
        return cls(*(np.zeros(cores, np.int64) for _ in fields(cls)))

    def add(self, cores: IntArray, counted: Mapping[str, IntArray]) -> None:
        """Count more in some cores."""
        for name, more in counted.items():
            getattr(self, name)[cores] += more

    def __iadd__(self, other: Products) -> Products:
        for f in fields(self):
            getattr(self, f.name).__iadd__(getattr(other, f.name))
        return self

    def level(self, gated: bool) -> Level | None:
        """Relative to random data; None where nothing is multiplied. `gated`: products with a zero
        operand are withheld."""
        total = {f.name: int(getattr(self, f.name).sum()) for f in fields(self)}
        if not total["macs"]:
            return None
        clocked = 1 - total["zero_products"] / total["macs"] if gated else 1.0
        inside = total["gated_toggles" if gated else "multiplier_toggles"]
        return level_of_products(
            clocked,
            total["operand_toggles"] / total["operand_bits"],
            inside / total["operand_bits"],
        )

    def as_json(self) -> dict[str, float | int]:
        total = {f.name: int(getattr(self, f.name).sum()) for f in fields(self)}
        shares = {
            "zero_inputs_share": total["zero_inputs"] / max(total["inputs"], 1),
            "zero_weights_share": total["zero_weights"] / max(total["weights"], 1),
            "zero_products_share": total["zero_products"] / max(total["macs"], 1),
            "operand_toggles_share": total["operand_toggles"] / max(total["operand_bits"], 1),
        }
        return {**total, **shares}


@dataclass(eq=False)
class LayerActivity:
    """One layer, over all batches that were run.

    `links`: per network over links (`Mesh` numbers them, ports included); `hops`: bits times hops,
    over the cores that send. `framebuffer`: what the layer is sent from there.
    """

    name: str
    products: Products
    accumulators: Words
    memory: dict[str, Words]
    hops: dict[str, Words]
    links: dict[str, Words]
    framebuffer: Words

    @classmethod
    def none(cls, name: str, cores: int, links: int) -> LayerActivity:
        return cls(
            name=name,
            products=Products.none(cores),
            accumulators=Words.none(cores),
            memory={stream: Words.none(cores) for stream in STREAMS},
            hops={network: Words.none(cores) for network in NETWORKS},
            links={network: Words.none(links) for network in NETWORKS},
            framebuffer=Words.none(cores),
        )

    def levels(self, gated: bool) -> dict[str, Level]:
        """By event, where any was seen."""
        written, products = self.memory["written"].level, self.products.level(gated)
        found = {
            **{f"macs_{bits}bit": products for bits in (16, 8, 4, 2)},
            "vector_ops": written,
            "activation_ops": written,
            "accumulator_bytes": self.accumulators.level,
            "memory_bytes": together(self.memory.values()).level,
            "framebuffer_bytes": self.framebuffer.level,
            **{f"{name}_bit_hops": words.level for name, words in self.hops.items()},
        }
        return {event: level for event, level in found.items() if level is not None}

    def __iadd__(self, other: LayerActivity) -> LayerActivity:
        self.products += other.products
        self.accumulators += other.accumulators
        self.framebuffer += other.framebuffer
        for mine, more in (
            (self.memory, other.memory),
            (self.hops, other.hops),
            (self.links, other.links),
        ):
            for name, words in more.items():
                mine[name] += words
        return self


def together(words: Iterable[Words]) -> Words:
    """All of these as one."""
    first, *rest = words
    total = Words(first.bits.copy(), first.ones.copy(), first.toggles.copy())
    for each in rest:
        total += each
    return total


@dataclass(eq=False)
class StageActivity:
    """One chip: its layers, and the words of the network's outputs."""

    layers: tuple[LayerActivity, ...]
    outputs: Words = field(default_factory=lambda: Words.none(1))

    def __iadd__(self, other: StageActivity) -> StageActivity:
        for mine, more in zip(self.layers, other.layers, strict=True):
            mine += more
        self.outputs += other.outputs
        return self

    def boundary_levels(self) -> dict[str, Level]:
        """Of what leaves the array."""
        level = self.outputs.level or RANDOM
        return dict.fromkeys(("memory_bytes", "framebuffer_bytes", "activation_bit_hops"), level)
