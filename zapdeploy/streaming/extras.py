"""Packages that only streaming needs, loaded when they are used."""

from __future__ import annotations

from typing import Any

from zapdeploy.extras import load


def require(module: str) -> Any:
    """The module. Raises UsageError where its package is not installed."""
    return load(module, "streaming", "stream")
