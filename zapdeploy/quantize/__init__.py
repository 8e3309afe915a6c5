"""Post-training quantization of ONNX networks to 8, 4 and 2 bits.

ONNX Runtime loads when a network is quantized, not with this package.
"""

from zapdeploy.quantize.onnx_file import quantize_onnx
from zapdeploy.quantize.recipe import Form, Recipe
from zapdeploy.quantize.record import LayerBits, QuantizeRecord
from zapdeploy.verbs import make_callable

__all__ = ["Form", "LayerBits", "QuantizeRecord", "Recipe", "quantize_onnx"]

make_callable(__name__, "zapdeploy.quantize.onnx_file:quantize_onnx")
