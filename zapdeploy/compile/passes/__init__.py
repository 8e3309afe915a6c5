"""Passes from the graph as imported to the integer graph, in the order in which they run.

Each is a frozen dataclass called with a graph; `driver` runs them and verifies after each. Why
this order:

1. remove_identity: so that quantizers and their neighbours stand next to each other; then
   recognize_functions, while the functions' parts are still real numbers; then split_blocks, while
   the parts of weights that are quantized in blocks stand side by side.
2. narrow_to_clip: before constants are folded, while the bounds of a Clip are still there.
3. fold_constants: weights quantized in the file become codes; those codes are what later passes
   look for behind a dequantizer.
4. share_quantizers: one quantizer for each tensor, so that "read by a quantizer alone" holds.
5. absorb_clamp and 6. hoist_quantize, twice: each uncovers work for the other (pooling between a
   Relu and its quantizer, or the other way round). Hoisting may write a quantizer for each part of
   a tensor, hence 7. share_quantizers again.
8. sink_dequantize: after hoisting, which only moves quantizers over numbers that are computed.
9. fold_constants again: transposes and reshapes of weights have codes for operands by now.
10. fold_batch_normalization: needs weights as constants; before bind_bias, which takes its offset.
11. bind_bias: needs the final scales of the weights; before fusing, while sums are still separate.
12. fuse_integer: every neighbour is in its place.
13. remove_requantize: those that fusing made; needs the fused operators, which can clamp.
14. merge_views: quantizers stand no longer between the views. Some of what is merged leads back to
    the shape it came from, hence remove_identity again.
15. remove_dead: dequantizers and views that nobody reads any more.
16. find_block_sparse: gathers and products are integer, and nobody else reads what is between;
    then join_block_sparse, which puts those of one tensor together. What they took the place of is
    dead, and views of theirs may follow one another, hence merge_views and remove_dead again.

check_accumulators and check_scales run last, on their own: they need the final weights, ranges and
scales, and an error about operators that are not supported comes first.
"""

from zapdeploy.compile.passes.absorb_clamp import AbsorbClamp
from zapdeploy.compile.passes.bind_bias import BindBias
from zapdeploy.compile.passes.driver import Observer, Pass, pass_name, run_passes
from zapdeploy.compile.passes.find_block_sparse import FindBlockSparse
from zapdeploy.compile.passes.fold_batch_normalization import FoldBatchNormalization
from zapdeploy.compile.passes.fold_constants import FoldConstants
from zapdeploy.compile.passes.fuse_integer import FuseInteger
from zapdeploy.compile.passes.hoist_quantize import HoistQuantize
from zapdeploy.compile.passes.join_block_sparse import JoinBlockSparse
from zapdeploy.compile.passes.merge_views import MergeViews
from zapdeploy.compile.passes.narrow_to_clip import NarrowToClip
from zapdeploy.compile.passes.recognize_functions import RecognizeFunctions
from zapdeploy.compile.passes.remove_dead import RemoveDead
from zapdeploy.compile.passes.remove_identity import RemoveIdentity
from zapdeploy.compile.passes.remove_requantize import RemoveRequantize
from zapdeploy.compile.passes.share_quantizers import ShareQuantizers
from zapdeploy.compile.passes.sink_dequantize import SinkDequantize
from zapdeploy.compile.passes.split_blocks import SplitBlocks

IMPORT_PASSES: tuple[Pass, ...] = (
    RemoveIdentity(),
    RecognizeFunctions(),
    SplitBlocks(),
    NarrowToClip(),
    FoldConstants(),
    ShareQuantizers(),
    AbsorbClamp(),
    HoistQuantize(),
    AbsorbClamp(),
    HoistQuantize(),
    ShareQuantizers(),
    SinkDequantize(),
    FoldConstants(),
    FoldBatchNormalization(),
    BindBias(),
    FuseInteger(),
    RemoveRequantize(),
    MergeViews(),
    RemoveIdentity(),
    RemoveDead(),
    FindBlockSparse(),
    JoinBlockSparse(),
    MergeViews(),
    RemoveDead(),
)

__all__ = ["IMPORT_PASSES", "Observer", "Pass", "pass_name", "run_passes"]
