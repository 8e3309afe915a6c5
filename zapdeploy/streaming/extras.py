"""Packages that only streaming needs, loaded when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from zapdeploy.errors import UsageError

_PACKAGES = {"zmq": "pyzmq"}


def require(module: str) -> Any:
    """The module. Raises UsageError where its package is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError:
        package = _PACKAGES.get(module, module)
        raise UsageError(
            f"{package} must be installed to stream, not missing; run: "
            "pip install 'zapdeploy[streaming]'"
        ) from None
