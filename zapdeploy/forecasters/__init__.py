"""Networks to deploy: ResNet-50 and the ZAPBench forecasters; their data, training and scores.

torch, TensorStore and scikit-learn load when something that needs them is asked for, not with this
package.
"""

from zapdeploy.forecasters.baselines import MeanBaseline, stimulus_response
from zapdeploy.forecasters.build import build_model
from zapdeploy.forecasters.calibration import calibration_windows
from zapdeploy.forecasters.evaluation import Scores, evaluate, evaluate_response, mean_forecast
from zapdeploy.forecasters.export import export_model, export_module
from zapdeploy.forecasters.folder import ForecasterSpec, is_forecaster_folder, save_forecaster
from zapdeploy.forecasters.images import photograph_frames
from zapdeploy.forecasters.loading import Trained, import_forecaster, load_forecaster
from zapdeploy.forecasters.path_maps import Piece, read_path_map
from zapdeploy.forecasters.registry import ModelInfo, find_model, list_models
from zapdeploy.forecasters.samples import sample_inputs
from zapdeploy.forecasters.training import TrainingResult, train
from zapdeploy.forecasters.training_options import TrainingOptions
from zapdeploy.recordings.conditions import Condition, Split, window_starts
from zapdeploy.recordings.recording import Recording, open_recording

__all__ = [
    "Condition",
    "ForecasterSpec",
    "MeanBaseline",
    "ModelInfo",
    "Piece",
    "Recording",
    "Scores",
    "Split",
    "Trained",
    "TrainingOptions",
    "TrainingResult",
    "build_model",
    "calibration_windows",
    "evaluate",
    "evaluate_response",
    "export_model",
    "export_module",
    "find_model",
    "import_forecaster",
    "is_forecaster_folder",
    "list_models",
    "load_forecaster",
    "mean_forecast",
    "open_recording",
    "photograph_frames",
    "read_path_map",
    "sample_inputs",
    "save_forecaster",
    "stimulus_response",
    "train",
    "window_starts",
]
