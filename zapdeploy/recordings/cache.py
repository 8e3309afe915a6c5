"""Where made and copied recordings are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$ZAPDEPLOY_CACHE, or zapdeploy under the user's cache."""
    given = os.environ.get("ZAPDEPLOY_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "zapdeploy"
