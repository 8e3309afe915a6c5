"""Silence for libraries that warn about what a user cannot change."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings within the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
