"""What a simulation proved and compared, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zapdeploy.cli import show

if TYPE_CHECKING:
    from zapdeploy.sim.check import CheckResult, Comparison
    from zapdeploy.sim.core_array import Agreement
    from zapdeploy.sim.memory_verifier import MemoryProof


def print_proofs(proofs: list[MemoryProof], agreed: Agreement | None) -> None:
    """Where the memories are fullest, chip by chip; whether the cores computed the graph."""
    for chip, proof in enumerate(proofs):
        layer, core = proof.fullest
        where = f"chip {chip}, core {core}" if len(proofs) > 1 else f"core {core}"
        most = show.count(int(proof.live_bytes.max()))
        print(f"memory proved: at most {most} of {show.count(proof.limit)} B ({where}, '{layer}')")
    if agreed is not None:
        verdict = "equals" if agreed.passed else "DIFFERS from"
        print(
            f"core by core {verdict} the graph evaluated whole: {show.count(agreed.equal)} of "
            f"{show.count(agreed.elements)} elements of the outputs"
        )


def print_check(checked: CheckResult, verbose: bool) -> None:
    """The verdict in words, then the outputs, and every layer that differs (with -v, all)."""
    same = sum(not c.different for c in checked.nodes)
    print(
        f"{'agrees' if checked.passed else 'DISAGREES'} with {checked.reference}\n"
        f"  layer by layer, each fed with the reference's own tensors: {same} of"
        f" {len(checked.nodes)} equal in every element"
    )
    for line in (*checked.notes, *checked.failures):
        print(f"  {line}")
    layers = checked.nodes if verbose else [c for c in checked.nodes if c.different]
    rows = [("layer", *_comparison(c)) for c in layers]
    rows += [("end to end", *_comparison(c)) for c in checked.outputs]
    columns = ("compared", "tensor", "operator", "elements", "different", "at most (LSB)")
    show.print_table(show.table("", columns, rows))


def _comparison(c: Comparison) -> tuple[str, ...]:
    return (c.name, c.op, show.count(c.elements), show.count(c.different), f"{c.max_lsb:g}")
