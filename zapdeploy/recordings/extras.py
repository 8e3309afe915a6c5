"""The field's own libraries, which come with an extra and load when a file needs them."""

from __future__ import annotations

from zapdeploy.extras import load


def need(module: str, where: str) -> None:
    """Raise UsageError, with what to install, where a module is missing."""
    load(module, "recordings", f"read {where}")
