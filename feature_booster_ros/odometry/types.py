# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the odometry says about a frame, and about the scene."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np


class State(enum.Enum):
    """What the odometry is doing."""

    INITIALIZING = "initializing"  # no map yet: waiting for parallax
    TRACKING = "tracking"  # the pose is known
    LOST = "lost"  # there is a map, but this frame does not fit it


@dataclass(frozen=True, eq=False)
class Estimate:
    """One frame's estimate.

    Attributes:
        stamp: time of the frame in seconds.
        state: what the odometry was doing.
        pose: (4, 4) float64, camera to world, or None where it is not known. The camera's frame is
            the optical one of REP 103 (x right, y down, z forward), the world the first frame's.
            While no parallax has been seen, the rotation is right and the translation held.
        covariance: (6, 6) float64 of the pose in the world's axes: x, y, z in map units, then
            rotation about x, y, z in radians. It grows along the way. None where pose is None.
        frame_covariance: (6, 6) likewise, of the pose in the map alone, without what has
            accumulated along the way; of the change of pose between two frames it is a half.
        inliers: landmarks that agree with the pose.
        matches: landmarks that were found in the frame.
        landmarks: in the map.
        is_keyframe: whether the frame was added to the map.
        map_number: 0 for the first map, one more for each new one.
        reason: what happened or what is waited for; empty in plain tracking.
        tracking_seconds: time for matching and pose.
        mapping_seconds: time for a keyframe: triangulation and bundle adjustment.
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
    reason: str
    tracking_seconds: float
    mapping_seconds: float


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The points of the map.

    Attributes:
        positions: (N, 3) float64, world, in map units.
        observations: (N,) int64, keyframes in the map that see each.
    """

    positions: np.ndarray
    observations: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)
