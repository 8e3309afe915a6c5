"""A user's own network: `package.module:factory`, called without arguments."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from torch import nn

from zapdeploy.errors import UsageError


def is_factory(name: str) -> bool:
    """Whether a model is given as `package.module:factory`."""
    module, separator, function = name.partition(":")
    return (
        bool(separator)
        and function.isidentifier()
        and all(part.isidentifier() for part in module.split("."))
    )


def build_from_factory(name: str) -> nn.Module:
    """Import the module, call the factory and return the network in evaluation mode.

    Modules in the current folder are found as well. Raises UsageError when there is no such
    module or function, or when it does not return a torch module.
    """
    module_name, _, function_name = name.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(
            f"model must be an importable package.module:factory, not {name!r}: {error}; "
            "run from the folder that holds the module, or install it"
        ) from error
    factory = getattr(module, function_name, None)
    if not callable(factory):
        raise UsageError(
            f"factory must be a function of {module_name!r}, not missing: {function_name!r} "
            f"({Path(str(module.__file__)).name}); check its name"
        )
    network = factory()
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"factory must return a torch.nn.Module, not {type(network).__name__} ({name}); "
            "return the network itself"
        )
    return network.eval()
