"""A user's own network: `package.module:factory`, called without arguments."""

from __future__ import annotations

from torch import nn

from zapdeploy.errors import UsageError
from zapdeploy.functions import load_function


def build_from_factory(name: str) -> nn.Module:
    """Import the module, call the factory and return the network in evaluation mode.

    Modules in the current folder are found as well. Raises UsageError when there is no such
    module or function, or when it does not return a torch module.
    """
    factory = load_function(name, "model", "factory")
    network = factory()
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"factory must return a torch.nn.Module, not {type(network).__name__} ({name}); "
            "return the network itself"
        )
    return network.eval()
