"""What trained networks out of published packages still can, once quantized.

efficientnet.py   a checkpoint of EfficientNet-Lite0 as ONNX
pictures.py       pages and lines of text, and photographs
tasks.py          six networks: their inputs, and how their outputs are judged
__main__.py       the table: float, ONNX Runtime's int8, ours at 8 and at 4 bits
"""
