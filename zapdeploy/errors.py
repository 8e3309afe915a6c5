"""Every error that a user's input can cause.

    ZapdeployError
    ├── ModelError     an ONNX file, or something in it
    ├── TargetError    a chip's description
    ├── ProgramError   a .zap file
    ├── DataError      arrays: inputs, calibration data, checkpoints
    ├── UsageError     options that do not go together, a part that is not installed
    ├── SimulationError  a Program that the simulated chip cannot carry out
    └── WorkerError    a process of another interpreter that is missing, fails or hangs

The command line prints the message as one line and exits with status 2. A message says what must
hold and what was found, then where, then what to do: "scale must be positive, not -0.1 (node
'conv1', input 1); export the model again".
"""

from __future__ import annotations


class ZapdeployError(Exception):
    """Base class: the input or the call is wrong, and the message says how to put it right."""


class ModelError(ZapdeployError):
    """An ONNX file cannot be read, or something in it is not supported."""


class TargetError(ZapdeployError):
    """A chip's description is missing something, or contradicts itself."""


class ProgramError(ZapdeployError):
    """A .zap file is damaged, or of another version."""


class DataError(ZapdeployError):
    """Arrays with wrong names, shapes, types or values."""


class UsageError(ZapdeployError):
    """Options that do not go together, or an optional part that is not installed."""


class SimulationError(ZapdeployError):
    """A Program does what the chip cannot: names the layer, the core and the address."""


class WorkerError(ZapdeployError):
    """A process that runs in another interpreter is missing, fails, hangs or is too old."""
