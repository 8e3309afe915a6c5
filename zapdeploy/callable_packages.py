"""Packages that are also verbs, so that Python reads as the command line does.

`zapdeploy.compile` holds the compiler; `zapdeploy.compile("model.onnx")` runs it.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def make_callable(package: str, function: str) -> None:
    """Let calls of a package go to a function, given as "module:name", loaded when called.

    `inspect.signature`, and with it editors and notebooks, sees the function's own parameters.
    """

    def verb() -> Any:
        module, _, name = function.partition(":")
        return getattr(import_module(module), name)

    class Verb(ModuleType):
        @property
        def __signature__(self) -> inspect.Signature:
            return inspect.signature(verb())

        def __call__(self, *arguments: Any, **options: Any) -> Any:
            return verb()(*arguments, **options)

    sys.modules[package].__class__ = Verb
