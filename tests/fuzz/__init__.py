"""Random graphs, damaged files and calls; seeded, resumable, each within bounds of time and memory.

`python -m tests.fuzz.graphs`, `tests.fuzz.files`, `tests.fuzz.command_line`, `tests.fuzz.kills`:
all take `--count`, `--seed`, `--resume FILE` and `--seconds`.
"""
