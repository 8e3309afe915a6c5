"""A sparse product in parts: the same codes, and chips that could not hold it whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compile.multichip.test_pipeline_partitioner import over
from tests.compile.ops.operators.test_block_sparse import drawn
from tests.networks import changed_target
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.passes.join_block_sparse import JoinBlockSparse
from zapdeploy.compile.passes.remove_dead import RemoveDead
from zapdeploy.compile.passes.split_block_sparse import SplitBlockSparse
from zapdeploy.sim.functional import run


def products(graph: Graph) -> int:
    return [node.op for node in graph.nodes].count("BlockSparse")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 1 << 30), parts=st.integers(2, 9), bits=st.sampled_from((8, 4)))
def test_parts_make_the_same_codes_and_join_again(
    tmp_path: Path, seed: int, parts: int, bits: int
) -> None:
    one = drawn(seed, 0.1, bits)
    graph = import_model(one.file(tmp_path / "sparse.onnx", as_blocks=True)).graph
    (product,) = (call for call in graph.calls() if call.node.op == "BlockSparse")
    size = product.input(1).size * bits // 8
    split = SplitBlockSparse(-(-size // parts))(graph)
    filled = int(np.count_nonzero(np.diff(product.ints("first"))))
    assert products(split) == min(-(-size // -(-size // parts)), filled)
    (wanted,) = run(graph, one.inputs()).values()
    (found,) = run(split, one.inputs()).values()
    assert wanted.tobytes() == found.tobytes()
    again = RemoveDead()(JoinBlockSparse()(split))
    assert products(again) == 1
    (joined,) = (call for call in again.calls() if call.node.op == "BlockSparse")
    kept, held = joined.input(1).data, product.input(1).data
    assert kept is not None
    assert held is not None
    assert np.array_equal(kept, held)
    assert joined.node.attributes == product.node.attributes
    assert SplitBlockSparse(size)(graph) is graph


def test_a_product_that_no_chip_holds_goes_over_several(tmp_path: Path) -> None:
    one = drawn(2, 0.5, 8, length=32, groups=12)
    graph = import_model(one.file(tmp_path / "sparse.onnx", as_blocks=True), batch=2).graph
    target = changed_target({"array.rows": "2", "array.columns": "2", "core.memory": "32 KiB"})
    assert over(graph, 1, target).violation is not None
    found = over(graph, None, target)
    assert found.violation is None
    held = [products(stage.graph) for stage in found.stages]
    assert sum(held) > max(held) > 0
