"""What every source and every sink can do."""

from __future__ import annotations

from typing import Protocol

from zapdeploy.streaming.messages import Forecast, Frame


class EndOfStreamError(Exception):
    """There will be no more frames."""


class LostError(Exception):
    """The other side cannot be reached; it may come back."""


class Source(Protocol):
    """Where frames come from."""

    def receive(self, timeout_s: float) -> Frame | None:
        """The next frame; None if none came in this time.

        Raises EndOfStreamError, LostError, and DataError for a message that is no frame.
        """
        ...

    def close(self) -> None: ...


class Sink(Protocol):
    """Where forecasts go. `prepare` runs in the loop, `send` in a thread of its own."""

    def prepare(self, forecast: Forecast) -> object:
        """What to send; the forecast's array is used again after this."""
        ...

    def send(self, prepared: object) -> None:
        """Raises LostError when the other side cannot be reached."""
        ...

    def close(self) -> None: ...


class Nowhere:
    """A sink that keeps nothing."""

    def prepare(self, forecast: Forecast) -> object:
        return None

    def send(self, prepared: object) -> None:
        pass

    def close(self) -> None:
        pass
