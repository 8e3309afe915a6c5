"""The `zapdeploy` command: collects the verbs, turns errors into one line and an exit status.

Exit status: 0 done; 1 it ran and the answer is no; 2 the input or the call is wrong.
"""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from zapdeploy.errors import ZapdeployError

VERBS = ("check", "compile", "simulate", "quantize", "bench", "targets", "models", "doctor")

app = typer.Typer(
    name="zapdeploy",
    help="Deploy trained forecasters on a simulated core array, and say what a frame costs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _verb in VERBS:
    import_module(f"zapdeploy.cli.{_verb}").add_to(app)


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit status of one call; errors are printed as one line on standard error."""
    debug = "--debug" in arguments
    try:
        status = app(args=arguments, standalone_mode=False)
    except ZapdeployError as error:
        if debug:
            raise
        return _complain(str(error))
    except (KeyboardInterrupt, typer.Abort):
        print("zapdeploy: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is not None and not debug:  # a wrong option or argument
            return _complain(f"{message()}; see --help")
        raise
    return status if isinstance(status, int) else 0


def _complain(message: str) -> int:
    print("zapdeploy: " + " ".join(message.split()), file=sys.stderr)
    return 2
