# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics of matches against ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MatchingScore:
    """Mean over image pairs.

    Attributes:
        features: features an image.
        matches: matches a pair.
        correct: matches a pair within 3 pixels of the truth.
        accuracy: mean matching accuracy (MMA, Mikolajczyk and Schmid, PAMI 2005): the share of a
            pair's matches within 3 pixels, in [0, 1]; a pair without matches counts as 0.
    """

    features: float
    matches: float
    correct: float
    accuracy: float


def score_matches(
    features: list[float], errors: list[np.ndarray], threshold: float = 3.0
) -> MatchingScore:
    """The mean score of pairs.

    Args:
        features: of each pair, the mean number of features of its images.
        errors: of each pair, the (M,) distances in pixels of its matches from the truth; NaN is
            wrong.
        threshold: largest distance of a correct match.

    Raises:
        ValueError: there is no pair.
    """
    if not errors:
        raise ValueError("there is no image pair to score")
    correct = np.array([(error <= threshold).sum() for error in errors], float)
    matches = np.array([len(error) for error in errors], float)
    return MatchingScore(
        features=float(np.mean(features)),
        matches=float(matches.mean()),
        correct=float(correct.mean()),
        accuracy=float((correct / np.maximum(matches, 1)).mean()),
    )
