"""The `zapdeploy` command: collects the commands, turns errors into one line and an exit status.

Exit status: 0 done; 1 it ran and the answer is no; 2 the input or the call is wrong; 70 a fault of
our own.
"""

from __future__ import annotations

import signal
import sys
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer

from zapdeploy import version
from zapdeploy.cli import show
from zapdeploy.errors import ZapdeployError
from zapdeploy.files import protecting
from zapdeploy.text import one_line

COMMANDS = (
    "check",
    "compile",
    "simulate",
    "sweep",
    "explore",
    "quantize",
    "data",
    "train",
    "evaluate",
    "stream",
    "events",
    "bench",
    "compare",
    "verify",
    "report",
    "validate",
    "targets",
    "models",
    "doctor",
)
OUTPUT_OPTIONS = frozenset(
    ("-o", "--output", "--outputs", "--sample-inputs", "--trace", "--plot", "--csv")
)
INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h

app = typer.Typer(
    name="zapdeploy",
    help="Deploy trained forecasters on a simulated core array, and say what a frame costs.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _say_version(asked: bool) -> None:
    if asked:
        print(f"zapdeploy {version()}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_say_version, help="Show the version."),
    ] = False,
) -> None:
    """Deploy trained forecasters on a simulated core array, and say what a frame costs."""


for _name in COMMANDS:
    import_module(f"zapdeploy.cli.{_name}").add_to(app)


def main() -> None:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit status of one call; errors are printed as one line on standard error."""
    arguments = arguments or ["--help"]
    debug = "--debug" in arguments
    show.set_verbose("-v" in arguments or "--verbose" in arguments)
    try:
        with show.cost(), protecting(_inputs(arguments)):
            status = _command().main(arguments, prog_name="zapdeploy", standalone_mode=False)
    except ZapdeployError as error:
        if debug:
            raise
        return _complain(error.on_command_line)
    except (KeyboardInterrupt, typer.Abort):
        print("zapdeploy: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except MemoryError:
        return _complain("memory must suffice for this call; give a smaller network or batch")
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is not None and not debug:  # a wrong option or argument
            return _complain(f"{message()}; see --help")
        if debug:
            raise
        if isinstance(error, OSError) and error.strerror is not None:
            where = "" if error.filename is None else f" ({error.filename})"
            return _complain(f"files must be within reach, not refused: {error.strerror}{where}")
        _complain(f"internal error: {type(error).__name__}: {error}; run again with --debug")
        return INTERNAL_ERROR
    return status if isinstance(status, int) else 0


@cache
def _command() -> Any:
    """All commands with their options, made once: that takes longer than many a call."""
    return typer.main.get_command(app)


def _complain(message: str) -> int:
    print(f"zapdeploy: {one_line(message)}", file=sys.stderr)
    return 2


def _inputs(arguments: list[str]) -> list[str]:
    """Arguments that may name files to be read: all that do not follow an option for output."""
    found = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, sign, value = argument.partition("=")
        named = option if sign and option.startswith("-") else before
        if named not in OUTPUT_OPTIONS:
            found.append(value if named == option else argument)
    return found


def _stop(number: int, frame: object) -> None:
    """A request to end unwinds the stack, so that nothing half written stays."""
    raise SystemExit(128 + number)
