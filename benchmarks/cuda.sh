#!/bin/sh
# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests and times this checkout on a machine with a CUDA GPU. It takes PyTorch with CUDA, OpenCV,
# NumPy, safetensors, PyYAML and tqdm for python3; no ROS, no network and nothing built.
#
#   sh benchmarks/cuda.sh
#   OUT=/tmp/gpu SOURCE=/path/to/a/sequence PYTHON=python3.11 sh benchmarks/cuda.sh --repeats 30
#
# OUT:     folder for the results, by default docs/benchmarks/cuda
# SOURCE:  images, as of `feature-booster benchmark --source`; by default a KITTI sequence in shared/,
#          else the rendered sequence (scikit-image), else the pictures of the documentation
# PYTHON:  the interpreter, by default python3
# Further arguments are those of `feature-booster benchmark`.
set -eu

cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
OUT=${OUT:-docs/benchmarks/cuda}
PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH

"$PYTHON" - <<'END'
import importlib
import sys

missing = []
for module, package in (
    ("torch", "torch, a build for CUDA"),
    ("cv2", "opencv-python-headless"),
    ("numpy", "numpy"),
    ("safetensors", "safetensors"),
    ("yaml", "pyyaml"),
    ("tqdm", "tqdm"),
):
    try:
        importlib.import_module(module)
    except ImportError as error:
        missing.append(f"  {package} ({error})")
if missing:
    sys.exit(f"cuda.sh: {sys.executable} lacks these packages:\n" + "\n".join(missing))

import torch

if not torch.cuda.is_available():
    sys.exit(
        f"cuda.sh: PyTorch {torch.__version__} sees no CUDA device: it takes a GPU with its driver "
        "(nvidia-smi), and a build of PyTorch for CUDA"
    )
print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}")
END

has() { "$PYTHON" -c "import $1" 2>/dev/null; }

if [ -z "${SOURCE:-}" ]; then
    SOURCE=shared/data/sequences/kitti_a
    [ -d "$SOURCE" ] || SOURCE=../shared/data/sequences/kitti_a
    if [ ! -d "$SOURCE" ]; then
        if has skimage; then SOURCE=rendered; else SOURCE=folder:docs/images; fi
    fi
fi

failed=0
if has pytest; then
    "$PYTHON" -m pytest -q -k cuda test/booster test/matching test/benchmark \
        || failed=$?
    [ "$failed" -ne 5 ] || failed=0 # no test was selected
else
    echo "cuda.sh: no pytest here: the tests are left out"
fi

plots=
has matplotlib || plots=--no-plots
# shellcheck disable=SC2086 # no word where it is empty
"$PYTHON" -m feature_booster_ros.cli benchmark --devices cuda --source "$SOURCE" --output "$OUT" \
    $plots "$@"
if [ "$failed" -ne 0 ]; then
    echo "cuda.sh: tests failed (see above); the benchmark is in $OUT all the same"
    exit "$failed"
fi
