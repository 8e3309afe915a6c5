"""Chips as data: one TOML file per chip, its schema and its loader."""

from zapdeploy.hardware_targets.loader import (
    built_in_names,
    event_driven_names,
    load_event_target,
    load_target,
    parse_target,
    target_text,
)
from zapdeploy.hardware_targets.schema import Figure, Target

__all__ = [
    "Figure",
    "Target",
    "built_in_names",
    "event_driven_names",
    "load_event_target",
    "load_target",
    "parse_target",
    "target_text",
]
