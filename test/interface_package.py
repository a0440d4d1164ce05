# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Packages of messages that are not on PyPI, built for a test from their definitions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_CMAKE = """\
cmake_minimum_required(VERSION 3.20)
project({name})
find_package(ament_cmake REQUIRED)
find_package(builtin_interfaces REQUIRED)
find_package(rosidl_default_generators REQUIRED)
rosidl_generate_interfaces({name} {files} DEPENDENCIES builtin_interfaces)
ament_package()
"""
_MANIFEST = """\
<package format="3">
  <name>{name}</name>
  <version>0.0.0</version>
  <description>Messages for a test</description>
  <maintainer email="nobody@example.com">nobody</maintainer>
  <license>none</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>builtin_interfaces</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""


def build_interfaces(folder: Path, name: str, messages: Mapping[str, str]) -> dict[str, str]:
    """Build a package of messages.

    Args:
        folder: Empty folder to build in.
        name: Of the package.
        messages: Definitions by name, such as {"Point2": "float64 x\\nfloat64 y"}.

    Returns:
        The environment for processes that use it.
    """
    source, build, prefix = folder / "source", folder / "build", folder / "install"
    (source / "msg").mkdir(parents=True)
    for message, definition in messages.items():
        (source / "msg" / f"{message}.msg").write_text(definition + "\n")
    files = " ".join(f"msg/{message}.msg" for message in messages)
    (source / "CMakeLists.txt").write_text(_CMAKE.format(name=name, files=files))
    (source / "package.xml").write_text(_MANIFEST.format(name=name))
    configure = ["cmake", "-S", source, "-B", build, f"-DCMAKE_INSTALL_PREFIX={prefix}"]
    configure += ["-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={sys.executable}"]
    for command in (configure, ["cmake", "--build", build, "--target", "install"]):
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    (packages,) = prefix.glob("lib/python3*/site-packages")
    first = {
        "AMENT_PREFIX_PATH": prefix,
        "LD_LIBRARY_PATH": prefix / "lib",
        "PYTHONPATH": packages,
    }
    return {
        key: os.pathsep.join(filter(None, [str(path), os.environ.get(key, "")]))
        for key, path in first.items()
    }
