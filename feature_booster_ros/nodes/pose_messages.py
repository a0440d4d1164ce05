# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make the odometry message and the transform of a robot of the estimates of its camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from std_msgs.msg import Header

from .coordinate_frames import (
    base_from_optical,
    covariance_to_odom,
    parse_pose,
    points_to_odom,
    rotate_covariance,
    to_odom,
    twist_between,
)
from .odometry_messages import to_odometry, to_transform
from .odometry_node_parameters import OdometryNodeParameters

if TYPE_CHECKING:
    from feature_booster_ros.odometry import Estimate

_UNKNOWN_VARIANCE = 1e6
"""Variance of a twist that is not known, which is published as zero [(m/s)^2 and (rad/s)^2]."""


class PoseMessages:
    """Convert estimates of the camera to messages of the robot.

    Args:
        parameters: Of odometry_node: frames, the camera's pose on the robot, the longest gap.
    """

    def __init__(self, parameters: OdometryNodeParameters) -> None:
        self._parameters = parameters
        self.base_from_optical = base_from_optical(parse_pose(parameters.camera_pose))
        """(4, 4), the camera's optical frame in the robot's base frame."""
        self.level = np.eye(4)
        """(4, 4), rotation from the base at the first image to odom; the identity without IMU."""

    def to_odom(self, poses: np.ndarray) -> np.ndarray:
        """Convert poses (..., 4, 4) of the camera in the world to those of the base in odom."""
        return self.level @ to_odom(self.base_from_optical, poses)

    def points_to_odom(self, points: np.ndarray) -> np.ndarray:
        """Convert points (N, 3) of the world to odom."""
        return points_to_odom(self.level @ self.base_from_optical, points)

    def convert(
        self, header: Header, last: Estimate | None, estimate: Estimate
    ) -> tuple[Odometry, TransformStamped] | None:
        """Return pose and velocity, and the transform; None if the pose is not known.

        Args:
            header: Stamp of the frame, and the frame in which the pose is.
            last: Estimate of the frame before, or None after a restart.
            estimate: Of the frame.
        """
        if estimate.pose is None or estimate.covariance is None:
            return None
        base, pose = self._parameters.base_frame, self.to_odom(estimate.pose)
        covariance = self._covariance_to_odom(estimate.covariance, estimate.pose)
        twist, twist_covariance = self._twist(last, estimate)
        return (
            to_odometry(header, base, pose, covariance, twist, twist_covariance),
            to_transform(header, base, pose),
        )

    def _twist(self, last: Estimate | None, estimate: Estimate) -> tuple[np.ndarray, np.ndarray]:
        """Return the base's mean twist (6,) since the last frame in its own axes, and covariance.

        Without a map the translation is held, and the first frame with one makes up for it, so only
        two frames that are tracked in one map have a twist.
        """
        seconds = 0.0 if last is None else estimate.stamp - last.stamp
        if (
            last is None
            or seconds > self._parameters.max_gap
            or last.map_number != estimate.map_number
            or not (is_tracking(last) and is_tracking(estimate))
        ):
            return np.zeros(6), _UNKNOWN_VARIANCE * np.eye(6)
        before, before_covariance = self._in_map(last)
        now, covariance = self._in_map(estimate)
        return (
            twist_between(before, now, seconds),
            rotate_covariance(now[:3, :3].T, before_covariance + covariance) / seconds**2,
        )

    def _in_map(self, estimate: Estimate) -> tuple[np.ndarray, np.ndarray]:
        """Return the base's pose (4, 4) in odom, and its covariance (6, 6) in the map alone."""
        if estimate.pose is None or estimate.frame_covariance is None:
            raise ValueError("the pose of a tracked frame is missing")
        covariance = self._covariance_to_odom(estimate.frame_covariance, estimate.pose)
        return self.to_odom(estimate.pose), covariance

    def _covariance_to_odom(self, covariance: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Return the covariance (6, 6) of the base's pose in odom's axes."""
        in_base = covariance_to_odom(self.base_from_optical, covariance, pose)
        return rotate_covariance(self.level[:3, :3], in_base)


def is_tracking(estimate: Estimate) -> bool:
    """Whether the camera is located in a map."""
    return estimate.state.value == "tracking"
