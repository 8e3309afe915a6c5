"""Kinds of numbers that a matrix unit multiplies, and the integers that each of them stands for."""

from __future__ import annotations

from typing import Literal

FormatName = Literal["int16", "int8", "int4", "int2", "fp16", "fp8"]

# Integers of so many bits are exact in float16 (11 bits of significand). FP8 holds those of 4 bits;
# 8-bit integers stand for FP8 values here: as many bytes and products, so times and energies are
# those of FP8, while values are the integers'.
_HOLDS = {"fp16": 11, "fp8": 8}


def bits_of(name: str) -> int:
    """Bits of one number: "int8" -> 8. Raises ValueError for a name without a width."""
    digits = name.lstrip("abcdefghijklmnopqrstuvwxyz")
    if not digits.isdigit():
        raise ValueError(f"formats must be named as int8, int16, fp8 or fp16, not {name!r}")
    return int(digits)


def holds(name: str) -> int:
    """The widest integers that a format stands for, in bits."""
    return _HOLDS.get(name, bits_of(name))
