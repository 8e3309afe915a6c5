"""A user's own function: `package.module:function`, imported and so run."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zapdeploy.errors import UsageError


def load_function(name: str, what: str, kind: str = "function") -> Callable[..., Any]:
    """Import the module and find the function. Modules in the current folder are found as well.

    Raises UsageError when there is no such module or function; `what` is how it was
    asked for, `kind` what it is called.
    """
    module_name, separator, function_name = name.partition(":")
    parts = [*module_name.split("."), function_name]
    if not separator or not all(part.isidentifier() for part in parts):
        raise UsageError(
            f"{what} must be package.module:{kind}, not {name!r}; name a module and a {kind}"
        )
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(
            f"{what} must be an importable package.module:{kind}, not {name!r}: {error}; "
            "run from the folder that holds the module, or install it"
        ) from error
    found = getattr(module, function_name, None)
    if not callable(found):
        raise UsageError(
            f"{kind} must be a function of {module_name!r}, not missing: {function_name!r} "
            f"({Path(str(module.__file__)).name}); check its name"
        )
    return found
