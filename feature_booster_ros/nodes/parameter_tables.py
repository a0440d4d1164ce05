# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Print the tables of all parameters, docs/parameters.md, when run as a module."""

from __future__ import annotations

from feature_booster_ros.nodes.booster_node_parameters import BoosterNodeParameters
from feature_booster_ros.nodes.image_player_node import ImagePlayerNodeParameters
from feature_booster_ros.nodes.matcher_node_parameters import MatcherNodeParameters
from feature_booster_ros.nodes.odometry_node_parameters import OdometryNodeParameters
from feature_booster_ros.nodes.parameters import markdown_table

_NODES = {
    "booster_node": BoosterNodeParameters,
    "matcher_node": MatcherNodeParameters,
    "odometry_node": OdometryNodeParameters,
    "image_player_node": ImagePlayerNodeParameters,
}


def parameter_tables() -> str:
    """A heading and a Markdown table for each node."""
    return "\n\n".join(f"## {name}\n\n{markdown_table(node)}" for name, node in _NODES.items())


if __name__ == "__main__":
    print(parameter_tables())
