"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

# Called with what is done, how far, of how much.
Progress = Callable[[str, int, int], None]
# The same of work that has one name: how far, of how much.
StepProgress = Callable[[int, int], None]
