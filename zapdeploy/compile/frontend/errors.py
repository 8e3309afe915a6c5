"""How a translator says no."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zapdeploy.errors import ModelError

if TYPE_CHECKING:
    from zapdeploy.compile.frontend.support_report import Decision


class RefusedError(Exception):
    """A node cannot be translated. The text says why; all of a file's are reported together."""


class UnjudgedError(Exception):
    """A node reads a tensor of a refused node, of which nothing is known."""


class UnsupportedModel(ModelError):  # noqa: N818  (it names what was found)
    """The file is sound, but some of its nodes cannot run on the chip; `decisions` has them all.

    `quantized` is false where nothing in the file is.
    """

    def __init__(
        self, message: str, decisions: tuple[Decision, ...], *, quantized: bool = True
    ) -> None:
        super().__init__(message)
        self.decisions = decisions
        self.quantized = quantized
