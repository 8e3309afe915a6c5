"""Deploy trained forecasters on a simulated core array, and say what a frame costs.

    import zapdeploy as zd

    zd.quantize("model.onnx", "model-int4.onnx", weights=4, activations=4)
    program = zd.compile("model-int4.onnx", target="northpole-sim", batch=32)
    result = zd.simulate(program)

Importing the package loads nothing heavy; every name below loads what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zapdeploy.api import ModelCheck, compile_space, load, simulate, simulate_space
    from zapdeploy.api import check_model as check
    from zapdeploy.api import compile_model as compile  # noqa: A004  (a command, as on the command line)
    from zapdeploy.benchmarks import BenchmarkResult
    from zapdeploy.commands.bench import bench
    from zapdeploy.commands.evaluate import Evaluation, evaluate
    from zapdeploy.commands.quantize import quantize
    from zapdeploy.commands.run import Outputs, run
    from zapdeploy.commands.sweep import Sweep, sweep
    from zapdeploy.commands.turns import compile_turns, simulate_turns
    from zapdeploy.commands.validate import Validation, validate
    from zapdeploy.compile.multichip.pipeline import Pipeline
    from zapdeploy.compile.space.program import SpaceProgram
    from zapdeploy.compile.space.turns_program import TurnsProgram
    from zapdeploy.errors import (
        DataError,
        DoesNotFitError,
        ModelError,
        ProgramError,
        SimulationError,
        TargetError,
        UsageError,
        WorkerError,
        ZapdeployError,
    )
    from zapdeploy.explore.exploring import explore
    from zapdeploy.explore.table import Exploration
    from zapdeploy.quantize.module_record import ModuleRecord
    from zapdeploy.quantize.record import QuantizeRecord
    from zapdeploy.sim.results import Result
    from zapdeploy.sim.space.results import SpaceResult
    from zapdeploy.sim.space.turns_results import TurnsResult
    from zapdeploy.streaming import Forecaster, StreamOptions, StreamReport
    from zapdeploy.streaming.stream import stream

__version__ = "0.1.0"
# Where each public name comes from; the first three are packages that can be called.
_ORIGINS = {
    "compile": "compile",
    "explore": "explore",
    "quantize": "quantize",
    "BenchmarkResult": "benchmarks:BenchmarkResult",
    "Evaluation": "commands.evaluate:Evaluation",
    "Exploration": "explore.table:Exploration",
    "Forecaster": "streaming:Forecaster",
    "ModelCheck": "api:ModelCheck",
    "Outputs": "commands.run:Outputs",
    "Pipeline": "compile.multichip.pipeline:Pipeline",
    "ModuleRecord": "quantize.module_record:ModuleRecord",
    "QuantizeRecord": "quantize.record:QuantizeRecord",
    "Result": "sim.results:Result",
    "SpaceProgram": "compile.space.program:SpaceProgram",
    "SpaceResult": "sim.space.results:SpaceResult",
    "StreamOptions": "streaming:StreamOptions",
    "StreamReport": "streaming:StreamReport",
    "Sweep": "commands.sweep:Sweep",
    "TurnsProgram": "compile.space.turns_program:TurnsProgram",
    "TurnsResult": "sim.space.turns_results:TurnsResult",
    "Validation": "commands.validate:Validation",
    "bench": "commands.bench:bench",
    "check": "api:check_model",
    "compile_space": "api:compile_space",
    "compile_turns": "commands.turns:compile_turns",
    "evaluate": "commands.evaluate:evaluate",
    "load": "api:load",
    "run": "commands.run:run",
    "simulate": "api:simulate",
    "simulate_space": "api:simulate_space",
    "simulate_turns": "commands.turns:simulate_turns",
    "stream": "streaming.stream:stream",
    "sweep": "commands.sweep:sweep",
    "validate": "commands.validate:validate",
    "DataError": "errors:DataError",
    "DoesNotFitError": "errors:DoesNotFitError",
    "ModelError": "errors:ModelError",
    "ProgramError": "errors:ProgramError",
    "SimulationError": "errors:SimulationError",
    "TargetError": "errors:TargetError",
    "UsageError": "errors:UsageError",
    "WorkerError": "errors:WorkerError",
    "ZapdeployError": "errors:ZapdeployError",
}

__all__ = [
    "BenchmarkResult",
    "DataError",
    "DoesNotFitError",
    "Evaluation",
    "Exploration",
    "Forecaster",
    "ModelCheck",
    "ModelError",
    "ModuleRecord",
    "Outputs",
    "Pipeline",
    "ProgramError",
    "QuantizeRecord",
    "Result",
    "SimulationError",
    "SpaceProgram",
    "SpaceResult",
    "StreamOptions",
    "StreamReport",
    "Sweep",
    "TargetError",
    "TurnsProgram",
    "TurnsResult",
    "UsageError",
    "Validation",
    "WorkerError",
    "ZapdeployError",
    "bench",
    "check",
    "compile",
    "compile_space",
    "compile_turns",
    "evaluate",
    "explore",
    "load",
    "quantize",
    "run",
    "simulate",
    "simulate_space",
    "simulate_turns",
    "stream",
    "sweep",
    "validate",
    "version",
]


def version() -> str:
    """The package's version, which every Program carries."""
    return __version__


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # a type checker reads the imports above, and knows no other name

    def __getattr__(name):
        if name not in _ORIGINS:
            raise AttributeError(f"module 'zapdeploy' has no attribute '{name}'")
        module, _, attribute = _ORIGINS[name].partition(":")
        found = import_module(f"zapdeploy.{module}")
        return getattr(found, attribute) if attribute else found
