"""zapdeploy verify MODEL"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zapdeploy.cli import options, show

if TYPE_CHECKING:
    from zapdeploy.benchmarks.accuracy.verification import Verification


def add_to(app: typer.Typer) -> None:
    app.command("verify", help=_verify.__doc__)(_verify)


def _verify(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder from train, an .onnx or a .zap file.")
    ],
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Run a forecaster on the golden input that it carries, and say what it must be fed.

    Example: zapdeploy verify int8.onnx
    """
    from zapdeploy.benchmarks.accuracy.verification import verify

    found = verify(model)
    if as_json:
        show.print_json(found.as_json())
    else:
        _print(found)
    return 0 if found.passed else 1


def _print(found: Verification) -> None:
    print(f"{found.model}: give it {found.context} frames of {found.neurons:,} neurons,")
    print(f"it forecasts {found.horizon} frames; scaling on the host: {found.scaling}")
    known = found.recording
    if known is not None:
        ids = known.neuron_ids
        order = "as numbered" if ids is None else f"{', '.join(ids[:5])}{', ...' * (len(ids) > 5)}"
        print(f"  trained on {known.source} ({known.format}), {known.rate_text}, unit {known.unit}")
        print(f"  neurons {order}")
        for step in known.processing:
            print(f"  {step}")
    for form in found.forms:
        verdict = "AGREES" if form.passed else "DISAGREES"
        print(
            f"{verdict} in {form.runner} ({form.precision}): {form.equal:,} of {form.values:,} "
            f"values equal, largest difference {form.difference:.3g} (allowed "
            f"{form.tolerance:.3g})"
        )
