"""The interpreter that has Lava: where it is, and how to make it.

lava-nc 0.10.0 needs Python 3.10 and NumPy 1, so it lives in an environment of its own, under the
user's cache or where $ZAPDEPLOY_LAVA_PYTHON points.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from zapdeploy.errors import WorkerError

LAVA = "lava-nc==0.10.0"
_VARIABLE = "ZAPDEPLOY_LAVA_PYTHON"
_NEEDED = (3, 10)
_SET_UP = "run zapdeploy doctor --set-up-lava"
_PROBE = "import sys, lava.proc.sdn.process; print('.'.join(map(str, sys.version_info[:2])))"


def lava_python() -> Path:
    """The interpreter with Lava. Raises WorkerError, saying what is missing."""
    given = os.environ.get(_VARIABLE)
    if given is not None:
        if not Path(given).exists():
            raise WorkerError(
                f"{_VARIABLE} must name an interpreter, not '{given}', which is missing"
            )
        return Path(given)
    made = environment_folder() / "bin" / "python"
    if not (environment_folder() / "ready").exists():
        found = find_python()
        lacking = _SET_UP if found else f"install Python 3.10 (PATH, pyenv or uv), then {_SET_UP}"
        raise WorkerError(f"Lava must be set up to simulate Loihi 2; {lacking}")
    return made


def describe() -> str:
    """In words, what there is or what is missing."""
    try:
        return f"{LAVA} in {lava_python()}"
    except WorkerError as error:
        return str(error)


def environment_folder() -> Path:
    """Where the environment is kept: beside zapdeploy's other cached files."""
    cache = os.environ.get("ZAPDEPLOY_CACHE")
    base = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    root = Path(cache) if cache else Path(base) / "zapdeploy"
    return root / LAVA.replace("==", "-")


def find_python() -> Path | None:
    """A Python 3.10: on the PATH, under pyenv, or through uv."""
    return next((path for path in _candidates() if _is_needed(path)), None)


def set_up_lava() -> Path:
    """Make the environment where it is missing, and try it out. Raises WorkerError.

    A half-made environment of an earlier attempt is made again.
    """
    folder = environment_folder()
    if (folder / "ready").exists():
        return folder / "bin" / "python"
    base = find_python()
    if base is None:
        raise WorkerError(
            "Python 3.10 must be on the PATH, under pyenv, or known to uv: install it"
        )
    shutil.rmtree(folder, ignore_errors=True)
    _run([str(base), "-m", "venv", str(folder)], "make an environment")
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, LAVA], f"install {LAVA}")
    _run([str(python), "-c", _PROBE], "import Lava")
    (folder / "ready").touch()
    return python


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("python3.10")
    if on_path:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/3.10*/bin/python"), reverse=True)
    uv = shutil.which("uv")
    if uv:
        found = subprocess.run(
            [uv, "python", "find", "3.10"], capture_output=True, text=True, check=False
        )
        if found.returncode == 0:
            yield Path(found.stdout.strip())


def _is_needed(python: Path) -> bool:
    """Whether it starts (a pyenv shim may not) and has the version that Lava needs."""
    code = f"import sys; sys.exit(sys.version_info[:2] != {_NEEDED})"
    try:
        done = subprocess.run([str(python), "-c", code], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _run(command: list[str], purpose: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise WorkerError(f"Lava's environment must be made, but to {purpose} failed: {last}")
