"""Quantization to 8, 4 and 2 bits: of ONNX files, and of torch modules with Brevitas.

ONNX Runtime loads when a network is quantized, torch and Brevitas when it is a torch module; none
of them loads with this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zapdeploy.callable_packages import make_callable
from zapdeploy.quantize.onnx_file import quantize_onnx
from zapdeploy.quantize.recipe import Form, Recipe
from zapdeploy.quantize.recipes import RECIPES, BitChoice, ModuleRecipe, find_recipe
from zapdeploy.quantize.record import LayerBits, QuantizeRecord

if TYPE_CHECKING:
    from zapdeploy.quantize.modules.build import Prepared, Quantized, build
    from zapdeploy.quantize.modules.factory import build_from_factory
    from zapdeploy.quantize.modules.module_file import (
        distill,
        prepare_module,
        quantize_module,
        write_module,
    )
    from zapdeploy.quantize.modules.training import TrainingPlan, train

_LAZY = {
    "Prepared": "build",
    "Quantized": "build",
    "TrainingPlan": "training",
    "build": "build",
    "build_from_factory": "factory",
    "distill": "module_file",
    "prepare_module": "module_file",
    "quantize_module": "module_file",
    "train": "training",
    "write_module": "module_file",
}

__all__ = [
    "RECIPES",
    "BitChoice",
    "Form",
    "LayerBits",
    "ModuleRecipe",
    "Prepared",
    "QuantizeRecord",
    "Quantized",
    "Recipe",
    "TrainingPlan",
    "build",
    "build_from_factory",
    "distill",
    "find_recipe",
    "prepare_module",
    "quantize_module",
    "quantize_onnx",
    "train",
    "write_module",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from zapdeploy.errors import UsageError

    try:
        module = import_module(f"zapdeploy.quantize.modules.{_LAZY[name]}")
    except ImportError as error:
        raise UsageError(
            f"torch modules must be quantized with torch and Brevitas installed, not without "
            f"{error.name}; run: pip install 'zapdeploy[quantize]'"
        ) from error
    return getattr(module, name)


make_callable(__name__, "zapdeploy.commands.quantize:quantize")
