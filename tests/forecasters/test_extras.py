"""Packages that may be missing."""

from __future__ import annotations

import pytest

from zapdeploy.errors import UsageError
from zapdeploy.forecasters.extras import require


def test_what_is_installed_is_fine() -> None:
    require("json", "numpy")


def test_all_missing_packages_are_named() -> None:
    with pytest.raises(UsageError) as caught:
        require("numpy", "no_such_package", "nor_this")
    assert str(caught.value) == (
        "no_such_package and nor_this must be installed for forecasters, not missing; "
        "run: pip install 'zapdeploy[models]'"
    )
