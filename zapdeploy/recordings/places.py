"""Where a recording is: a file, a folder, or a URL."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from zapdeploy.errors import DataError

LISTED = 6
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Place:
    """A path or URL as it was given."""

    location: str

    @cached_property
    def path(self) -> Path | None:
        """Where it is on this machine; None where it is elsewhere."""
        parts = urlsplit(self.location)
        if parts.scheme not in ("", "file"):
            return None
        given = parts.path if parts.scheme else self.location
        return Path(given).expanduser().resolve()

    @property
    def local(self) -> Path:
        """`path`, where that is known to be there."""
        assert self.path is not None
        return self.path

    @property
    def name(self) -> str:
        """The last part of the path, in small letters."""
        return urlsplit(self.location).path.rstrip("/").rsplit("/", 1)[-1].lower()

    @property
    def is_folder(self) -> bool:
        return self.path is not None and self.path.is_dir()

    @property
    def is_file(self) -> bool:
        return self.path is not None and self.path.is_file()

    def has(self, *names: str) -> bool:
        """Whether it is a folder with all of these."""
        return self.is_folder and all((self.local / name).exists() for name in names)

    def ends_with(self, *endings: str) -> bool:
        return self.name.endswith(endings)

    @cached_property
    def is_hdf5(self) -> bool:
        """Whether it is a file that begins as HDF5 does, at 0 or after MATLAB's header of 512."""
        if not self.is_file:
            return False
        with self.local.open("rb") as file:
            start = file.read(520)
        return HDF5_SIGNATURE in (start[:8], start[512:520])

    def check(self) -> None:
        """Raise DataError where a path leads nowhere or to nothing."""
        if self.path is None:
            return
        if not self.path.exists():
            near = next((p for p in self.path.parents if p.exists()), Path("/"))
            raise DataError(
                f"data must be there, not missing ({self.location}); '{near}' exists: check the "
                "path after it, or give synthetic, zapbench or a URL"
            )
        if self.is_file and not self.path.stat().st_size:
            raise DataError(f"data must be a recording, not an empty file ({self.location})")

    @property
    def holds(self) -> str:
        """What is there, in words."""
        if self.path is None:
            return "a URL of something else"
        if self.path.is_dir():
            names = sorted(p.name for p in self.path.iterdir())
            if not names:
                return "an empty folder"
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            return f"a folder with {', '.join(names[:LISTED])}{more}"
        return f"a file '{self.path.name}'"
