# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matches of the frame pairs of a sequence, of one way to match or of several to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class FramePair:
    """The matches between two frames.

    Attributes:
        query, reference: numbers of the frames in their sequence.
        features: number of features of the query frame.
        query_points, reference_points: (M, 2) matched pixels.
        inliers: (M,) bool, which agree with the two-view geometry that was estimated from them.
        confirmed: (M,) bool, which ground truth confirms; None where there is none.
    """

    query: int
    reference: int
    features: int
    query_points: np.ndarray
    reference_points: np.ndarray
    inliers: np.ndarray
    confirmed: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.inliers)


@dataclass(frozen=True)
class PairStatistics:
    """Means over the pairs of a sequence.

    Attributes:
        pairs: number of pairs.
        features: of a frame.
        matches, inliers: of a pair.
        confirmed: matches of a pair that ground truth confirms; None without ground truth.
        precision: share of all matches that are confirmed (NaN without a match), or None.
        inlier_precision: share of all inliers that are confirmed (NaN without an inlier), or None.
        fewest_inliers: of the worst pair.
    """

    pairs: int
    features: float
    matches: float
    inliers: float
    confirmed: float | None
    precision: float | None
    inlier_precision: float | None
    fewest_inliers: int


def pair_statistics(pairs: Sequence[FramePair]) -> PairStatistics:
    """Average over pairs.

    Raises:
        ValueError: there is no pair.
    """
    if not pairs:
        raise ValueError("there is no frame pair to average over")
    matches = np.array([len(pair) for pair in pairs])
    inliers = np.array([pair.inliers.sum() for pair in pairs])
    confirmed = precision = inlier_precision = None
    if all(pair.confirmed is not None for pair in pairs):
        right = sum(int(pair.confirmed.sum()) for pair in pairs)
        right_inliers = sum(int((pair.confirmed & pair.inliers).sum()) for pair in pairs)
        confirmed = right / len(pairs)
        precision = right / matches.sum() if matches.sum() else float("nan")
        inlier_precision = right_inliers / inliers.sum() if inliers.sum() else float("nan")
    return PairStatistics(
        pairs=len(pairs),
        features=float(np.mean([pair.features for pair in pairs])),
        matches=float(matches.mean()),
        inliers=float(inliers.mean()),
        confirmed=confirmed,
        precision=precision,
        inlier_precision=inlier_precision,
        fewest_inliers=int(inliers.min()),
    )


def common_pairs(
    compared: Mapping[str, Sequence[FramePair]],
) -> dict[str, list[FramePair]]:
    """Keep the frame pairs that all have, so that all are judged on the same, in their order."""
    keys = [{(pair.query, pair.reference) for pair in pairs} for pairs in compared.values()]
    shared = set.intersection(*keys) if keys else set()
    return {
        name: sorted(
            (pair for pair in pairs if (pair.query, pair.reference) in shared),
            key=lambda pair: pair.query,
        )
        for name, pairs in compared.items()
    }
