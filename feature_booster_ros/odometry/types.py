# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Results of the odometry."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np


class State(enum.Enum):
    """State of the odometry after a frame."""

    INITIALIZING = "initializing"  # no map yet: waiting for parallax
    TRACKING = "tracking"  # the pose is known
    LOST = "lost"  # the frame does not fit the map


@dataclass(frozen=True, eq=False)
class Estimate:
    """One frame's estimate.

    Attributes:
        stamp: time of the frame [s].
        state: of the odometry.
        pose: (4, 4) float64, camera to world, or None where it is unknown. The camera's frame is
            the optical one of REP 103 (x right, y down, z forward), the world is the first camera's
            frame. Before there is parallax, the rotation is estimated and the translation held.
        covariance: (6, 6) float64 of the pose in the world's axes: x, y, z in map units, then
            rotation about x, y, z [rad]. It grows with the distance traveled. None where pose is
            None.
        frame_covariance: (6, 6) float64 of the pose relative to the map, without the drift of the
            map; half of the covariance of the motion between two frames.
        inliers: landmarks that agree with the pose.
        matches: landmarks that were matched with the frame.
        landmarks: landmarks in the map.
        is_keyframe: whether the frame was added to the map, or is being added by an executor.
        map_number: 0 for the first map, one more for each new one.
        is_metric: whether the scale of the map is that of measured depths, so that its unit is the
            meter.
        reason: what happened, or what the odometry waits for; empty in plain tracking.
        tracking_seconds: time of matching and pose estimation [s].
        mapping_seconds: time of a keyframe's triangulation and bundle adjustment [s], of this frame
            or of an earlier one that an executor has mapped meanwhile; else 0.
    """

    stamp: float
    state: State
    pose: np.ndarray | None
    covariance: np.ndarray | None
    frame_covariance: np.ndarray | None
    inliers: int
    matches: int
    landmarks: int
    is_keyframe: bool
    map_number: int
    is_metric: bool
    reason: str
    tracking_seconds: float
    mapping_seconds: float


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The points of the map.

    Attributes:
        positions: (N, 3) float64 in the world, in map units.
        observations: (N,) int64, number of keyframes in the map that observe each.
    """

    positions: np.ndarray
    observations: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)
