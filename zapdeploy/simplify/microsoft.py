"""What ONNX Runtime fuses and saves, written in ONNX's own operators again."""
