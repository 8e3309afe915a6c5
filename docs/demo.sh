#!/usr/bin/env bash
# The main job, step by step, as a user would type it. Files go to demo/; called again, it keeps the
# rows of a benchmark that are there.
# With "full" the measurements are as long as LoadGen asks, at all precisions.
set -euo pipefail
mkdir -p demo
run() { printf '\n$ %s\n' "$*"; "$@"; }

# 1. Both networks, the chip beside this processor: does it keep up with the microscope, and what
#    does a frame cost? (Short measurements: the spread of each stands beside it.)
if [ "${1:-}" != full ]; then
    run zapdeploy bench --models resnet50,tsmixer-c4 --targets northpole-sim,cpu \
        --precisions int8 --frame-rate 1.094 --quick -o demo/quick --resume
fi

# 2. The same step by step. ResNet-50, the yardstick that chip makers publish, on real photographs (random weights).
run zapdeploy models export resnet50 -o demo/resnet50.onnx --sample-inputs demo/photographs.npz
run zapdeploy quantize demo/resnet50.onnx --weights 4 --activations 4 --min-snr 0 \
    --rounding nearest --calibration demo/photographs.npz -o demo/resnet50-int4.onnx
run zapdeploy compile demo/resnet50-int4.onnx --target northpole-sim
run zapdeploy simulate demo/resnet50-int4.zap --inputs demo/photographs.npz \
    --outputs demo/logits.npz --check

# 3. A forecaster over all 71,721 neurons of a larval zebrafish, at the microscope's frame rate
#    (synthetic activity: the recording itself is not in this repository).
run zapdeploy models export tsmixer-c4 -o demo/tsmixer-c4.onnx \
    --sample-inputs demo/activity.npz --samples 4
run zapdeploy quantize demo/tsmixer-c4.onnx --weights 8 --activations 8 \
    --calibration demo/activity.npz -o demo/tsmixer-c4-int8.onnx
run zapdeploy compile demo/tsmixer-c4-int8.onnx --target northpole-sim
run zapdeploy simulate demo/tsmixer-c4-int8.zap --inputs demo/activity.npz --check \
    --frame-rate 1.094

# 4. At length, at all precisions, beside the published results.
if [ "${1:-}" = full ]; then
    run zapdeploy bench --models resnet50,tsmixer-c4 --targets northpole-sim,cpu \
        --frame-rate 1.094 -o demo/results --resume
fi
