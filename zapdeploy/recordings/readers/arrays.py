"""Which of several arrays in a file is the one of activity."""

from __future__ import annotations

from collections.abc import Mapping

from zapdeploy.errors import DataError

LISTED = 8
# Names that labs give to traces, best first.
USUAL = ("traces", "dff", "df_f", "dfof", "df_over_f", "f_dff", "deltaf", "activity", "calcium",
         "fluorescence", "f", "data")  # fmt: skip
Shapes = Mapping[str, tuple[int, ...]]


def choose_array(shapes: Shapes, wanted: str | None, where: str, what: str = "file") -> str:
    """The name asked for, or the only one of two axes, or the one of a usual name.

    Raises DataError that lists what there is.
    """
    if wanted is not None:
        for name in (wanted, wanted.strip("/")):
            if name in shapes:
                return name
        raise DataError(
            f"{what} must have an array '{wanted}', not only {_listed(shapes)} ({where}); choose "
            "one: --path NAME"
        )
    fit = [name for name, shape in shapes.items() if len(shape) == 2 and min(shape) > 0]
    if len(fit) == 1:
        return fit[0]
    usual = [n for known in USUAL for n in fit if n.rsplit("/", 1)[-1].lower() == known]
    if usual:
        return usual[0]
    if not fit:
        raise DataError(
            f"{what} must hold an array [frames, neurons], not {_listed(shapes)} ({where}); give "
            "another file"
        )
    chosen = {name: shapes[name] for name in fit}
    raise DataError(
        f"{what} must say which array is the activity, not hold {_listed(chosen)} ({where}); "
        "choose one: --path NAME"
    )


def _listed(shapes: Shapes) -> str:
    if not shapes:
        return "no arrays"
    shown = [f"{name} {list(shape)}" for name, shape in list(shapes.items())[:LISTED]]
    more = len(shapes) - LISTED
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
