"""Reading ONNX files. Nothing else in the package does.

The way of a file: `loading` (bytes to a sound structure), `importing` (the walk over its nodes),
`folding` (shape arithmetic), one file per dialect or family of operators (`qdq`, `qonnx`,
`operator_form`, `matrix`, `elementwise`, `pooling`, `movement`) that write into a `builder`, the
passes, and `decisions` (what became of each node).
"""

from zapdeploy.compile.frontend.importing import Imported, Origin, import_model
from zapdeploy.compile.frontend.registry import supported_operators
from zapdeploy.compile.frontend.support_report import Decision, Outcome, UnsupportedModel

__all__ = [
    "Decision",
    "Imported",
    "Origin",
    "Outcome",
    "UnsupportedModel",
    "import_model",
    "supported_operators",
]
