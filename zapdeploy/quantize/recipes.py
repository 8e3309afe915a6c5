"""Named recipes for torch modules, frozen so that a name always means the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from zapdeploy.errors import UsageError
from zapdeploy.quantize.index_ranges import ActivationScales

Calibration = Literal["mse", "percentile"]
Rounding = Literal["nearest", "gptq", "gpfq"]

WEIGHT_BITS = (8, 4, 2)
ACTIVATION_BITS = (8, 4)


@dataclass(frozen=True)
class ModuleRecipe:
    """How a torch module is quantized.

    weights, activations: bits of what matrix layers multiply. edges: least bits of both in layers
    that read the network's input or write its output. sums: bits of what residual additions and
    concatenations read, which share one scale; narrower readers requantize.
    calibration: how activation ranges are chosen, least squared error or the range that holds all
    but one value in 100,000. equalize: cross-layer equalization (Nagel et al., ICCV 2019).
    correct_bias: take the mean error of each layer out of its bias. rounding: weights to the
    nearest code, by GPTQ (Frantar et al., ICLR 2023) or by GPFQ (Zhang, Zhou and Saab, SIAM Journal
    on Mathematics of Data Science, 2023). exponents: scales are powers of two.
    stream: a residual addition, and so a chain of them, has one scale, which makes it exact; not
    where readers want the sum in fewer bits.
    activation_scales: "per tensor"; "per neuron", one for each index of the last axis wherever no
    reader sums over it (1x1 convolutions over [batch, time, neurons]); "auto", per neuron where
    enough samples show that it leaves less than 0.7 of the absolute error.
    """

    name: str
    weights: int
    activations: int
    edges: int = 8
    sums: int = 8
    calibration: Calibration = "mse"
    equalize: bool = True
    correct_bias: bool = True
    rounding: Rounding = "nearest"
    exponents: bool = False
    stream: bool = True
    activation_scales: ActivationScales = "auto"

    def __post_init__(self) -> None:
        for what, value, allowed in (
            ("weights", self.weights, WEIGHT_BITS),
            ("activations", self.activations, ACTIVATION_BITS),
            ("edges", self.edges, WEIGHT_BITS),
            ("sums", self.sums, ACTIVATION_BITS),
            ("calibration", self.calibration, ("mse", "percentile")),
            ("rounding", self.rounding, get_args(Rounding)),
            ("activation_scales", self.activation_scales, get_args(ActivationScales)),
        ):
            if value not in allowed:
                listed = ", ".join(str(choice) for choice in allowed)
                raise UsageError(
                    f"{what} must be one of {listed}, not {value!r} (recipe {self.name!r}); "
                    "choose one of them"
                )

    def bits(self, *, edge: bool) -> BitChoice:
        """The bits of a layer at one of the network's ends, or inside."""
        if not edge:
            return BitChoice(self.weights, self.activations)
        return BitChoice(max(self.weights, self.edges), max(self.activations, self.edges))


@dataclass(frozen=True)
class BitChoice:
    """Bits of a matrix layer's weights and of what it reads."""

    weights: int
    activations: int


RECIPES = (
    ModuleRecipe("int8", 8, 8),
    ModuleRecipe("w4a8", 4, 8, rounding="gptq"),
    ModuleRecipe("int4", 4, 4, rounding="gptq"),
    ModuleRecipe("w2a4", 2, 4, rounding="gptq"),
)


def find_recipe(name: str, **changes: object) -> ModuleRecipe:
    """The recipe of that name, with some of its fields changed; raises UsageError for others."""
    for recipe in RECIPES:
        if recipe.name == name:
            return replace(recipe, **changes)  # type: ignore[arg-type]
    names = ", ".join(recipe.name for recipe in RECIPES)
    raise UsageError(f"recipe must be one of {names}, not {name!r}; choose one of them")


def recipe_of_bits(weights: int, activations: int, edges: int = 8) -> ModuleRecipe:
    """The recipe for these bits: a named one where there is one."""
    for recipe in RECIPES:
        if (recipe.weights, recipe.activations) == (weights, activations):
            return replace(recipe, edges=edges)
    return ModuleRecipe(f"w{weights}a{activations}", weights, activations, edges)
