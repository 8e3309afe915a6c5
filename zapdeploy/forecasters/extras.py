"""Packages that come with an extra, asked for by name before they are needed."""

from __future__ import annotations

from importlib.util import find_spec

from zapdeploy.errors import UsageError


def require(*packages: str) -> None:
    """Raise UsageError naming every package that is not installed."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} must be installed for forecasters, not missing; "
            "run: pip install 'zapdeploy[models]'"
        )
