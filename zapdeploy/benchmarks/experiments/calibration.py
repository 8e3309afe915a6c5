"""What northpole-sim's file must say of its calibration, for ResNet-50 in an ONNX file.

python -m zapdeploy.benchmarks.experiments.calibration resnet50-int4.onnx
"""

from __future__ import annotations

import sys

from zapdeploy.api import compile_model, simulate
from zapdeploy.sim.calibration import calibrate, measured_table


def main() -> None:
    """Print the calibration for the file that is named."""
    result = simulate(compile_model(sys.argv[1], "northpole-sim", batch=32))
    print(f"energy.calibration = {calibrate(result):.3f}\n{measured_table(result)}")


if __name__ == "__main__":
    main()
