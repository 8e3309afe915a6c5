"""From an ONNX file as people have it to a plain one that every reader understands.

`shapes` gives open dimensions their lengths, `opsets` writes old operators in today's form,
`precision` makes float64 and float16 into float32, and `walking` goes through the nodes: it folds
shape arithmetic, takes the branch of an `If` whose condition is known, and puts simpler operators
in the place of those that have an expansion (one file per family: `conditional`, `loops`,
`recurrent`, `functions`, `microsoft`, ...). Both the compiler and the quantizer begin with this.
`identity` says whether two files hold the same network.
"""

from zapdeploy.simplify.identity import digest, external_files, network_digest
from zapdeploy.simplify.registry import expanded_operators
from zapdeploy.simplify.shapes import Batch, InputShapes, fix_inputs, lengths_of
from zapdeploy.simplify.simplifying import Simplified, simplify

__all__ = [
    "Batch",
    "InputShapes",
    "Simplified",
    "digest",
    "expanded_operators",
    "external_files",
    "fix_inputs",
    "lengths_of",
    "network_digest",
    "simplify",
]
