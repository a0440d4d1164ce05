#!/usr/bin/env python3
# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make the CMake exports of pip-installed ROS 2 packages usable where they were installed.

The wheels were built in a manylinux container, and the exports of every interface package name that
container's folders: /opt/python/cp311-cp311/include/python3.11 and .../site-packages/numpy/...
CMake refuses a target with an include folder that does not exist, so no package with messages
builds. This script, run by `make build` with the environment's own Python, puts that Python's
folders in their place. To run it again changes nothing.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy

PYTHON_INCLUDE = re.compile(r"/opt/python/cp\d+-cp\d+\w*/include/python[\d.]+\w*")
NUMPY_INCLUDE = re.compile(r"/opt/python/cp\d+-cp\d+\w*/lib/[^;\"]*?/numpy/(?:_core|core)/include")


def relocate(prefix: Path) -> int:
    """Rewrite the exports below `prefix`/share and return how many files changed."""
    changed = 0
    for path in sorted(prefix.glob("share/*/cmake/*.cmake")):
        text = path.read_text(encoding="utf-8")
        new = NUMPY_INCLUDE.sub(lambda _: numpy.get_include(), text)
        new = PYTHON_INCLUDE.sub(lambda _: sysconfig.get_path("include"), new)
        if new != text:
            path.write_text(new, encoding="utf-8")
            changed += 1
    return changed


if __name__ == "__main__":
    print(f"{relocate(Path(sys.prefix))} CMake exports of the ROS 2 wheels relocated")
