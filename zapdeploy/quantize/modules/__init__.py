"""Quantization of torch modules with Brevitas: trace, place quantizers, calibrate, train, export.

Everything here needs torch and Brevitas; `zapdeploy.quantize` loads it when it is asked for.
"""

import warnings

with warnings.catch_warnings():  # of Brevitas about its own parts, while it loads
    warnings.simplefilter("ignore")
    import brevitas.graph.equalize  # type: ignore[import-untyped]  # noqa: F401
