"""Deploy trained forecasters on a simulated core array, and say what a frame costs."""

from __future__ import annotations

__version__ = "0.1.0"


def version() -> str:
    """The package's version, which every Program carries."""
    return __version__
