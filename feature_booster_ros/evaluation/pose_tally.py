# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What one method gives on image pairs whose relative pose may be known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..matching import TwoViewGeometry
from .metrics import EstimationScore, score_estimates
from .relative_pose import POSE_THRESHOLDS


@dataclass
class PoseTally:
    """Counts and errors, pair by pair.

    Attributes:
        matches, inliers: of each pair.
        errors: of each pair in degrees; infinite without an estimate, NaN where there is no truth
            to compare with.
    """

    matches: list[int] = field(default_factory=list)
    inliers: list[int] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def add(self, geometry: TwoViewGeometry, matches: int, error: float) -> None:
        """One more pair: its geometry, how many matches that is from, and its error in degrees."""
        self.matches.append(matches)
        self.inliers.append(int(geometry.inliers.sum()))
        self.errors.append(error)

    def pose_score(self) -> EstimationScore | None:
        """The score of the pairs with a truth, or None where there are none."""
        errors = [error for error in self.errors if not np.isnan(error)]
        return score_estimates(errors, POSE_THRESHOLDS) if errors else None
