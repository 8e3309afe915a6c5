"""ONNX -> Graph -> mapping -> memory plan -> Program.

`zapdeploy.compile` is this package and also the verb: calling it is `zapdeploy.api.compile_model`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Verb(ModuleType):
    """A package that can be called, so that `zd.compile(...)` reads as the command line does."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from zapdeploy.api import compile_model

        return compile_model(*arguments, **options)


sys.modules[__name__].__class__ = _Verb
