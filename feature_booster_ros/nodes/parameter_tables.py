# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Print the tables of docs/parameters.md, or with ``--yaml`` the file config/booster.yaml."""

from __future__ import annotations

import sys

from feature_booster_ros.nodes.booster_node_parameters import BoosterNodeParameters
from feature_booster_ros.nodes.image_player_node import ImagePlayerNodeParameters
from feature_booster_ros.nodes.matcher_node_parameters import MatcherNodeParameters
from feature_booster_ros.nodes.odometry_node_parameters import OdometryNodeParameters
from feature_booster_ros.nodes.parameters import markdown_table, parameter_file_section
from feature_booster_ros.nodes.rgbd_image_node import RgbdImageNodeParameters

_NODES = {
    "booster_node": BoosterNodeParameters,
    "matcher_node": MatcherNodeParameters,
    "odometry_node": OdometryNodeParameters,
    "rgbd_image_node": RgbdImageNodeParameters,
    "image_player_node": ImagePlayerNodeParameters,
}
_FILE_HEAD = """\
# Parameters of all nodes, with their defaults:
#   ros2 run feature_booster_ros booster_node --ros-args --params-file booster.yaml
#   ros2 param load /booster_node booster.yaml
# For a node in the namespace /robot write /robot/booster_node, for one in any namespace
# /**/booster_node; booster.launch.py does that by itself. A node started under another name
# (__node:=NAME) needs a section of that name. `ros2 param set` changes parameters while a node
# runs, except those marked [at start], and those marked [unconfigured], which can be set only
# before the node is configured, or after `ros2 lifecycle set NODE cleanup`.
# Written by: python3 -m feature_booster_ros.nodes.parameter_tables --yaml
"""


def parameter_tables() -> str:
    """Return a heading and a Markdown table for each node."""
    return "\n\n".join(f"## {name}\n\n{markdown_table(node)}" for name, node in _NODES.items())


def parameter_file() -> str:
    """Return the text of a parameter file with every parameter's description and default."""
    return _FILE_HEAD + "".join(
        f"\n/{name}:\n  ros__parameters:\n{parameter_file_section(node)}\n"
        for name, node in _NODES.items()
    )


if __name__ == "__main__":
    print(parameter_file() if "--yaml" in sys.argv[1:] else parameter_tables(), end="")
