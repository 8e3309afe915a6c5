"""Operators, one file per family; importing this package registers all of them.

A new file registers its operators by being here: nothing lists them.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
