"""Networks to deploy: ResNet-50 and the ZAPBench forecasters, their inputs and their ONNX files.

torch and scikit-learn load when a network or a photograph is asked for, not with this package.
"""

from zapdeploy.forecasters.build import build_model
from zapdeploy.forecasters.export import export_model
from zapdeploy.forecasters.images import photograph_frames
from zapdeploy.forecasters.registry import ModelInfo, find_model, list_models
from zapdeploy.forecasters.samples import sample_inputs
from zapdeploy.forecasters.synthetic import synthetic_windows

__all__ = [
    "ModelInfo",
    "build_model",
    "export_model",
    "find_model",
    "list_models",
    "photograph_frames",
    "sample_inputs",
    "synthetic_windows",
]
