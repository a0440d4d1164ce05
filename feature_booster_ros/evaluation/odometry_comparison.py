# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a comparison of odometries is made of: the runs of the methods, and their reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .trajectories import Poses, TrajectoryError

TRUTH = "truth"
"""Name of the reference where there is ground truth."""


@dataclass(eq=False)
class OdometryRun:
    """One method's way along a sequence of N frames.

    Attributes:
        method: name.
        trajectory: stamps and poses (4, 4), camera to world, as refined in the end.
        stamps: (N,) in seconds.
        is_tracked: (N,) bool, whether the frame's pose was given.
        inliers: (N,) landmarks that support the pose; 0 where it hangs on no map.
        map_numbers: (N,) of the map in use, 0 for the first: more than one means that the way
            between them is not known.
        tracking_seconds: (N,) for matching and pose; None where frames do not come one by one.
        mapping_seconds: (N,) for keyframes; None likewise.
        seconds: for all of the way, without the features.
        error: from the reference; None without one, or with fewer than three poses.
    """

    method: str
    trajectory: Poses
    stamps: np.ndarray
    is_tracked: np.ndarray
    inliers: np.ndarray
    map_numbers: np.ndarray
    tracking_seconds: np.ndarray | None
    mapping_seconds: np.ndarray | None
    seconds: float
    error: TrajectoryError | None = None

    @property
    def tracked(self) -> float:
        """Share of the frames whose pose was given."""
        return float(self.is_tracked.mean())

    @property
    def maps(self) -> int:
        """Maps begun."""
        return int(self.map_numbers.max()) + 1 if self.inliers.any() else 0

    @property
    def mean_inliers(self) -> float:
        """Over the frames tracked in a map."""
        counts = self.inliers[self.inliers > 0]
        return float(counts.mean()) if len(counts) else 0.0


@dataclass(frozen=True, eq=False)
class OdometryComparison:
    """Methods on one sequence.

    Attributes:
        runs: one a method, in the order given; COLMAP's last.
        truth: empty if it is not known.
        reference: what the runs' errors are from: the truth, or else COLMAP's trajectory; empty
            without either.
        reference_name: ``TRUTH``, a run's method, or "" without a reference.
    """

    runs: list[OdometryRun]
    truth: Poses
    reference: Poses
    reference_name: str
