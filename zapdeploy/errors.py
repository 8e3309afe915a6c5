"""Every error that a user's input can cause.

    ZapdeployError
    ├── ModelError     an ONNX file, or something in it
    ├── TargetError    a chip's description
    ├── ProgramError   a .zap file
    ├── DataError      arrays: inputs, calibration data, checkpoints
    ├── UsageError     options that do not go together, a part that is not installed
    ├── DoesNotFitError  a network that is run or timed though it does not fit its chips
    ├── SimulationError  a Program that the simulated chip cannot carry out
    └── WorkerError    a process of another interpreter that is missing, fails or hangs

The command line prints the message as one line and exits with status 2. A message says what must
hold and what was found, then where, then what to do: "scale must be positive, not -0.1 (node
'conv1', input 1); export the model again".
"""

from __future__ import annotations

import re

# An option, but not one inside a command that the message says to run.
_OPTION = re.compile(r"zapdeploy [a-z]+ [^;,)]*|--([a-z][a-z-]*)")


class ZapdeployError(Exception):
    """Base class: the input or the call is wrong, and the message says how to put it right.

    Messages are written with options as the command line spells them (`--micro-batch`), which is
    `on_command_line`; as text they speak of Python's arguments (`micro_batch`).
    """

    @property
    def on_command_line(self) -> str:
        """The message as the command line prints it."""
        return super().__str__()

    def __str__(self) -> str:
        return _OPTION.sub(_argument, super().__str__())


def _argument(option: re.Match[str]) -> str:
    return option[0] if option[1] is None else option[1].replace("-", "_")


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


class DoesNotFitError(ZapdeployError):
    """A network is to be run or timed that does not fit its chips; says what would help."""


class SimulationError(ZapdeployError):
    """A Program does what the chip cannot: names the layer, the core and the address."""


class WorkerError(ZapdeployError):
    """A process that runs in another interpreter is missing, fails, hangs or is too old."""
