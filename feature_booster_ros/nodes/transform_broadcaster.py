# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Transforms on /tf, where tf2_msgs is installed.

The message is all that broadcasting needs, so this does without tf2_ros, which drags in C++. Both
come with a ROS 2 distribution and are not on PyPI.
"""

from __future__ import annotations

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node

from .qos import stream_profile

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

_DEPTH = 100  # as tf2_ros has it, so that a listener gets bursts whole


class TransformBroadcaster:
    """Publishes transforms; without tf2_msgs it warns at construction, and then does nothing."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = None
        if TFMessage is None:
            node.get_logger().warning(
                "tf2_msgs is not installed: no transforms are published. It comes with a ROS 2 "
                "distribution; publish_tf:=false does without it in silence"
            )
        else:
            self._publisher = node.create_publisher(
                TFMessage, "/tf", stream_profile("reliable", _DEPTH)
            )

    def send(self, transform: TransformStamped) -> None:
        """Publishes one transform."""
        if self._publisher is not None:
            self._publisher.publish(TFMessage(transforms=[transform]))

    def destroy(self) -> None:
        """Ends publishing."""
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)
        self._publisher = None
