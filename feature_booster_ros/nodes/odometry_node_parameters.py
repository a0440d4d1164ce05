# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of odometry_node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .coordinate_frames import parse_pose, parse_rotation
from .parameters import Change, FeatureNodeParameters, parameter

_SETTINGS = (
    "initial_scale", "camera_height", "pixel_sigma", "search_radius", "min_inliers",
    "min_parallax", "keyframe_baseline", "keyframe_share", "window", "max_keyframes",
    "restart_after", "max_gap",
)  # fmt: skip
"""Parameters that are fields of OdometrySettings. Their defaults are repeated here, since importing
the odometry needs poselib; a test compares them."""


@dataclass(frozen=True)
class OdometryNodeParameters(FeatureNodeParameters):
    """Parameters of odometry_node."""

    RENAMED: ClassVar[Mapping[str, str]] = {
        "minimum_inliers": "min_inliers",
        "minimum_parallax": "min_parallax",
        "maximum_keyframes": "max_keyframes",
        "maximum_gap": "max_gap",
    }

    odom_frame: str = parameter(
        "odom",
        "Frame that the poses are in: where base_frame was at the first image.",
        change=Change.UNCONFIGURED,
    )
    base_frame: str = parameter(
        "base_link",
        "Frame of the robot whose poses are published, x forward, y left, z up.",
        change=Change.UNCONFIGURED,
    )
    camera_pose: str = parameter(
        "0 0 0 0 0 0",
        "Pose of the camera in base_frame, 'x y z roll pitch yaw' in meters and radians as in "
        "URDF; zeros for one at its origin that looks along x.",
        change=Change.UNCONFIGURED,
    )
    imu_rotation: str = parameter(
        "",
        "Orientation of the IMU of the topic imu in base_frame, 'roll pitch yaw' in radians as in "
        "URDF, so that odom_frame's z axis is up; empty where there is none.",
        change=Change.UNCONFIGURED,
    )
    publish_tf: bool = parameter(
        True,
        "Publish odom_frame to base_frame on /tf; false where another node does.",
        change=Change.UNCONFIGURED,
    )
    path_length: int = parameter(
        1000,
        "Most poses in path; of a longer trajectory, evenly spaced ones.",
        minimum=2,
        maximum=100_000,
    )
    path_period: float = parameter(
        1.0,
        "Shortest time in seconds between two messages on path; 0 for one with each frame.",
        minimum=0.0,
        maximum=3600.0,
    )
    landmarks_period: float = parameter(
        1.0,
        "Shortest time in seconds between two messages on landmarks; 0 for one with each frame.",
        minimum=0.0,
        maximum=3600.0,
    )
    initial_scale: float = parameter(
        1.0,
        "Median depth of the first landmarks: with the true one in meters, poses are in meters, "
        "and else in units of that depth, as one camera cannot measure scale.",
        minimum=1e-6,
        maximum=1e6,
        change=Change.UNCONFIGURED,
    )
    camera_height: float = parameter(
        0.0,
        "Meters from a camera that looks ahead down to flat ground, which draws the scale to "
        "meters where the ground is seen; 0 for unknown.",
        minimum=0.0,
        maximum=1000.0,
        change=Change.UNCONFIGURED,
    )
    pixel_sigma: float = parameter(
        0.7,
        "Standard deviation of the position of a keypoint of medium scale in pixels.",
        minimum=0.01,
        maximum=100.0,
        change=Change.UNCONFIGURED,
    )
    search_radius: float = parameter(
        50.0,
        "Radius around a landmark's predicted position in which it is searched for, in pixels.",
        minimum=1.0,
        maximum=10_000.0,
        change=Change.UNCONFIGURED,
    )
    min_inliers: int = parameter(
        15,
        "Fewest landmarks that must agree with a pose; with fewer, the frame is lost.",
        minimum=6,
        maximum=100_000,
        change=Change.UNCONFIGURED,
    )
    min_parallax: float = parameter(
        0.5,
        "Smallest median angle in degrees between the rays of the first two views of a map.",
        minimum=0.01,
        maximum=90.0,
        change=Change.UNCONFIGURED,
    )
    keyframe_baseline: float = parameter(
        0.1,
        "A keyframe is due when the camera has moved by this share of the median depth.",
        minimum=0.001,
        maximum=100.0,
        change=Change.UNCONFIGURED,
    )
    keyframe_share: float = parameter(
        0.8,
        "A keyframe is due when fewer than this share of the last one's landmarks are found; 0.6 "
        "with a keyframe_baseline of 0.15 halves the work where the camera turns slowly.",
        minimum=0.01,
        maximum=1.0,
        change=Change.UNCONFIGURED,
    )
    window: int = parameter(
        8,
        "Keyframes that bundle adjustment moves; not more than max_keyframes.",
        minimum=2,
        maximum=1000,
        change=Change.UNCONFIGURED,
    )
    max_keyframes: int = parameter(
        40,
        "Keyframes kept for relocalization; older ones leave, with their landmarks.",
        minimum=4,
        maximum=100_000,
        change=Change.UNCONFIGURED,
    )
    restart_after: int = parameter(
        10,
        "Lost frames after which a new map may replace the old one.",
        minimum=0,
        maximum=1_000_000,
        change=Change.UNCONFIGURED,
    )
    max_gap: float = parameter(
        1.0,
        "Seconds without a frame after which the motion is not extrapolated and no twist is given.",
        minimum=0.001,
        maximum=3600.0,
        change=Change.UNCONFIGURED,
    )
    jump_back: float = parameter(
        1.0,
        "A stamp that goes back by more seconds than this is a recording that loops, and resets "
        "the odometry; by less, a frame out of order, which is left out.",
        minimum=0.0,
        maximum=1e6,
    )
    queue_size: int = parameter(
        3,
        "Frames that wait while one is worked on; when one more comes, the oldest is dropped.",
        minimum=1,
        maximum=10_000,
        change=Change.UNCONFIGURED,
    )

    def __post_init__(self) -> None:
        for name in ("odom_frame", "base_frame"):
            frame = getattr(self, name)
            if not frame or frame.startswith("/"):
                raise ValueError(
                    f"parameter '{name}' must be the name of a frame, without '/' in front, not "
                    f"{frame!r}"
                )
        if self.odom_frame == self.base_frame:
            raise ValueError(
                "parameters 'odom_frame' and 'base_frame' must be two frames, not both "
                f"{self.odom_frame!r}"
            )
        try:
            parse_pose(self.camera_pose)
        except ValueError as error:
            raise ValueError(f"parameter 'camera_pose' {error}") from error
        try:
            parse_rotation(self.imu_rotation or "0 0 0")
        except ValueError as error:
            raise ValueError(f"parameter 'imu_rotation' {error}") from error

    def odometry_settings(self) -> dict[str, Any]:
        """Return the keyword arguments of OdometrySettings."""
        settings = {name: getattr(self, name) for name in _SETTINGS}
        return {**settings, "camera_height": self.camera_height or None}
