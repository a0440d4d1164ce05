# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Timers that run on, whatever the ROS clock does."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.timer import Timer

CLOCK_MISSING = (
    "use_sim_time is true, but nothing comes on /clock: play the bag with it (ros2 bag play "
    "--clock BAG), start the simulation, or set use_sim_time to false"
)


def steady_timer(node: Node, period: float, callback: Callable[[], None]) -> Timer:
    """A timer of the node that goes by the steady clock, not by /clock; its period in seconds."""
    return node.create_timer(period, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


def is_clock_missing(node: Node) -> bool:
    """Whether the node waits for its first message on /clock (parameter use_sim_time)."""
    clock = node.get_clock()
    return clock.ros_time_is_active and clock.now().nanoseconds == 0
