"""How a translator says no."""

from __future__ import annotations


class RefusedError(Exception):
    """A node cannot be translated. The text says why; all of a file's are reported together."""


class UnjudgedError(Exception):
    """A node reads a tensor of a refused node, of which nothing is known."""
