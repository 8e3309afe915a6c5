"""What each command does, as a function with a typed result.

The command line only parses and prints. `compile`, `check` and `simulate` are in `zapdeploy.api`,
which other parts use too.

run.py              inputs through a compiled network, to the bit
sweep.py            several batch sizes side by side
quantize.py         an ONNX file, a forecaster's folder or a torch module in fewer bits
quantize_module.py  the torch half of it
bench.py            simulated chips beside this machine and published results
validate.py         simulated against published
"""
