"""ONNX -> Graph -> mapping -> memory plan -> Program.

The package is also the command: `zapdeploy.compile("model.onnx")` is `zapdeploy.api.compile_model`.
"""

from zapdeploy.callable_packages import make_callable

make_callable(__name__, "zapdeploy.api:compile_model")
