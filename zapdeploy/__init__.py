"""Deploy trained forecasters on a simulated core array, and say what a frame costs.

    import zapdeploy as zd
    zd.quantize("model.onnx", "model-int4.onnx", weights=4, activations=4)
    program = zd.compile("model-int4.onnx", target="northpole-sim", batch=32)
    result = zd.simulate(program)

Importing the package loads nothing heavy; every name below loads what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Forecaster", "check", "compile", "load", "quantize", "simulate", "version"]

_LAZY = {
    "Forecaster": "zapdeploy.streaming:Forecaster",
    "check": "zapdeploy.api:check_model",
    "load": "zapdeploy.api:load",
    "simulate": "zapdeploy.api:simulate",
}
_PACKAGES = ("compile", "quantize")  # verbs that are packages, too


def version() -> str:
    """The package's version, which every Program carries."""
    return __version__


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"zapdeploy.{name}")
    if name in _LAZY:
        module, _, attribute = _LAZY[name].partition(":")
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'zapdeploy' has no attribute '{name}'")
