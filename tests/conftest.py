"""Which examples Hypothesis tries: the same ones in every `make test`, so that it is not luck.

`make test-random` goes over all properties with fresh seeds, several rounds long. A failure there
prints the example: it becomes a test of its own.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("fresh", derandomize=False, deadline=None, print_blob=True)
settings.load_profile("same")
