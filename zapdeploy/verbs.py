"""Packages that are also verbs, so that Python reads as the command line does.

`zapdeploy.compile` holds the compiler; `zapdeploy.compile("model.onnx")` runs it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def make_callable(package: str, function: str) -> None:
    """Let calls of a package go to a function, given as "module:name", loaded when called."""

    class Verb(ModuleType):
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            module, _, name = function.partition(":")
            return getattr(import_module(module), name)(*arguments, **options)

    sys.modules[package].__class__ = Verb
