# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of the odometry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OdometrySettings:
    """What can be tuned. Pixels are those of the image that the features came from.

    Attributes:
        initial_scale: map units that the median depth of the first landmarks is set to. One camera
            cannot tell how large the world is: with the true median depth in meters, or with
            ``camera_height``, the map is in meters, and else in units of that depth.
        camera_height: meters from the camera's center down to flat ground, which sets the scale
            where the ground is seen; None where it is not known. Down is the optical frame's +y.
        pixel_sigma: standard deviation of a keypoint of middling scale in pixels.
        search_radius: how far from its prediction a landmark is searched, in pixels at first and
            before the pose is refined.
        min_inliers: fewer landmarks in agreement than this, and the frame is lost.
        min_parallax: median angle in degrees between the rays of the first two views.
        minimum_landmarks: to begin a map with.
        minimum_angle: smallest triangulation angle of a landmark in degrees.
        keyframe_share: a new keyframe is due when fewer than this share of the last keyframe's
            landmarks are found ...
        keyframe_baseline: ... or when the camera has moved by this share of the median depth.
        window: keyframes that bundle adjustment moves.
        max_keyframes: kept for relocalization; older ones leave, with their landmarks.
        restart_after: frames that are lost before a new map may replace the old one.
        max_gap: seconds without a frame after which the motion is no longer extrapolated.
        scale_drift: standard deviation of the relative error of each step's length, for the
            covariance.
        trajectory_length: poses kept; the oldest are forgotten beyond.
        seed: of the robust estimators.

    Raises:
        ValueError: a setting is out of range; the message names it.
    """

    initial_scale: float = 1.0
    camera_height: float | None = None
    pixel_sigma: float = 0.7
    search_radius: float = 50.0
    min_inliers: int = 15
    min_parallax: float = 1.0
    minimum_landmarks: int = 40
    minimum_angle: float = 0.1
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
            "initial_scale", "pixel_sigma", "search_radius", "min_parallax", "minimum_angle",
            "keyframe_share", "keyframe_baseline", "max_gap", "trajectory_length",
        )  # fmt: skip
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if self.camera_height is not None and not self.camera_height > 0:
            raise ValueError(f"camera_height must be above 0 or None, not {self.camera_height}")
        for name, least in (
            ("min_inliers", 6), ("minimum_landmarks", 6), ("window", 2),
            ("max_keyframes", 4), ("restart_after", 0), ("scale_drift", 0), ("seed", 0),
        ):  # fmt: skip
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.window > self.max_keyframes:
            raise ValueError(
                f"window must not exceed max_keyframes, {self.window} and {self.max_keyframes}"
            )
