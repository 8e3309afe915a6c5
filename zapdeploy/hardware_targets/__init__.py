"""Chips as data: one TOML file per chip, its schema and its loader.

figures.py      a number with unit, kind, source and error
formats.py      kinds of numbers that a matrix unit multiplies
energy.py       prices of events
schema.py       what the file of a core-array chip says
totals.py       what follows from the parts, against what the file restates
inheritance.py  files that extend another
operating.py    other voltages, clocks, temperatures
loader.py       by name or path; all mistakes in one line
event_driven/   the other kind of chip
"""

from zapdeploy.hardware_targets.figures import Figure
from zapdeploy.hardware_targets.loader import (
    built_in_names,
    event_driven_names,
    is_event_driven_file,
    kind_of,
    load_any_target,
    load_event_target,
    load_target,
    parse_target,
    source_text,
    target_text,
)
from zapdeploy.hardware_targets.schema import Target

__all__ = [
    "Figure",
    "Target",
    "built_in_names",
    "event_driven_names",
    "is_event_driven_file",
    "kind_of",
    "load_any_target",
    "load_event_target",
    "load_target",
    "parse_target",
    "source_text",
    "target_text",
]
