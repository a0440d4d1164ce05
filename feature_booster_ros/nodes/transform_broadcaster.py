# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Publish transforms on /tf, if tf2_msgs is installed.

Broadcasting needs nothing but the message, so tf2_ros, which needs C++, is not used. Both come with
a ROS 2 distribution and are not on PyPI.
"""

from __future__ import annotations

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node

from .lifecycle import Resources
from .qos import stream_profile

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

_DEPTH = 100  # Messages kept, as in tf2_ros, so that a listener receives bursts whole.


class TransformBroadcaster:
    """Publish transforms; without tf2_msgs, warn at construction and then do nothing.

    Args:
        node: That publishes.
        resources: Of the node, in which the publisher is kept.
    """

    def __init__(self, node: Node, resources: Resources) -> None:
        self._publisher = None
        if TFMessage is None:
            node.get_logger().warning(
                "tf2_msgs is not installed: no transforms are published. It comes with a ROS 2 "
                "distribution; with publish_tf:=false there is no such warning"
            )
        else:
            self._publisher = resources.publisher(
                TFMessage, "/tf", stream_profile("reliable", _DEPTH)
            )

    def send(self, transform: TransformStamped) -> None:
        """Publish one transform."""
        if self._publisher is not None:
            self._publisher.publish(TFMessage(transforms=[transform]))
