"""Quantization of torch modules with Brevitas: trace, place quantizers, calibrate, train, export.

Everything here needs torch and Brevitas; `zapdeploy.quantize` loads it when it is asked for.
"""
