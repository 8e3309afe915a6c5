"""Packages that come with an extra, loaded when they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from zapdeploy.errors import UsageError

_PACKAGES = {"zmq": "pyzmq"}  # where a package is not called as its module


def load(module: str, extra: str, purpose: str) -> Any:
    """The module. Raises UsageError, with what to run, where its package is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).split(".")[0]
        package = _PACKAGES.get(missing, missing)
        raise UsageError(
            f"{package} must be installed to {purpose}, not missing; run: "
            f"pip install 'zapdeploy[{extra}]'"
        ) from None
