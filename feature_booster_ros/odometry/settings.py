# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of the odometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EXTRACTOR_OPTIONS: Mapping[str, Mapping[str, Any]] = {"orb": {"grid": (6, 8), "fast_threshold": 7}}
"""Options of extractors, by name, whose features suit the odometry better than the defaults'."""


@dataclass(frozen=True)
class OdometrySettings:
    """Settings of the odometry; pixels are those of the image that the features came from.

    Attributes:
        initial_scale: median depth of the first landmarks [map units]. One camera cannot measure
            scale: with the true median depth in meters, or with ``camera_height``, the map is in
            meters, else in units of that depth. Measured depths tell the scale themselves.
        camera_height: height of the camera's center above flat ground [m], from which the scale
            follows where the ground is in view; None where it is unknown. Down is the optical
            frame's +y. With measured depth it is only compared.
        pixel_sigma: standard deviation of a keypoint of median scale [px].
        search_radius: largest distance of a landmark from its prediction before the pose is
            refined [px].
        min_inliers: least number of inliers; with fewer the frame is lost.
        min_parallax: least median angle between the rays of the first two views [degrees].
        min_landmarks: least number of landmarks of a new map.
        min_angle: least triangulation angle of a landmark [degrees].
        keyframe_share: a frame becomes a keyframe when fewer than this share of the last keyframe's
            landmarks are found.
        keyframe_baseline: a frame becomes a keyframe when the camera has moved by more than this
            share of the median depth.
        window: newest keyframes that bundle adjustment refines.
        max_keyframes: keyframes kept for relocalization; older ones are removed with their
            landmarks.
        restart_after: lost frames after which a new map may replace the old one.
        max_gap: time without a frame after which the motion is not extrapolated [s].
        scale_drift: relative standard deviation of each step's length, for the covariance.
        trajectory_length: largest number of poses kept.
        seed: of the robust estimators.

    Raises:
        ValueError: a setting is out of range; the message names it.
    """

    initial_scale: float = 1.0
    camera_height: float | None = None
    pixel_sigma: float = 0.7
    search_radius: float = 50.0
    min_inliers: int = 15
    min_parallax: float = 0.5
    min_landmarks: int = 40
    min_angle: float = 0.1
    keyframe_share: float = 0.8
    keyframe_baseline: float = 0.1
    window: int = 8
    max_keyframes: int = 40
    restart_after: int = 10
    max_gap: float = 1.0
    scale_drift: float = 0.01
    trajectory_length: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        positive = (
            "initial_scale", "pixel_sigma", "search_radius", "min_parallax", "min_angle",
            "keyframe_share", "keyframe_baseline", "max_gap", "trajectory_length",
        )  # fmt: skip
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if self.camera_height is not None and not self.camera_height > 0:
            raise ValueError(f"camera_height must be above 0 or None, not {self.camera_height}")
        for name, least in (
            ("min_inliers", 6), ("min_landmarks", 6), ("window", 2),
            ("max_keyframes", 4), ("restart_after", 0), ("scale_drift", 0), ("seed", 0),
        ):  # fmt: skip
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.window > self.max_keyframes:
            raise ValueError(
                f"window must not exceed max_keyframes, {self.window} and {self.max_keyframes}"
            )
