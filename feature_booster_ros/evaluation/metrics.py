# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics of matches, and of what is estimated from them, against ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MMA_THRESHOLDS = tuple(range(1, 11))
"""Pixels at which the mean matching accuracy is taken for its curve."""


@dataclass(frozen=True)
class MatchingScore:
    """Mean over image pairs.

    Attributes:
        features: features an image.
        matches: matches a pair.
        correct: matches a pair within 3 pixels of the truth.
        distinct: of those, matches in different squares of 3 pixels of the first image; a detector
            that finds a corner on several levels has it once.
        accuracy: mean matching accuracy (MMA, Mikolajczyk and Schmid, PAMI 2005): the share of a
            pair's matches within 3 pixels, in [0, 1]; a pair without matches counts as 0.
        curve: the same at each of ``MMA_THRESHOLDS`` pixels.
        pair_correct: ``correct`` of each pair.
        pair_accuracy: ``accuracy`` of each pair.
    """

    features: float
    matches: float
    correct: float
    distinct: float
    accuracy: float
    curve: tuple[float, ...]
    pair_correct: tuple[float, ...]
    pair_accuracy: tuple[float, ...]


def score_matches(
    features: Sequence[float],
    errors: Sequence[np.ndarray],
    points: Sequence[np.ndarray],
    threshold: float = 3.0,
) -> MatchingScore:
    """The mean score of pairs.

    Args:
        features: of each pair, the mean number of features of its images.
        errors: of each pair, the (M,) distances in pixels of its matches from the truth; NaN is
            wrong.
        points: of each pair, the (M, 2) matched pixels of its first image.
        threshold: largest distance of a correct match.

    Raises:
        ValueError: there is no pair.
    """
    if not errors:
        raise ValueError("there is no image pair to score")
    matches = np.array([len(error) for error in errors], float)

    def correct(limit: float) -> np.ndarray:
        return np.array([(error <= limit).sum() for error in errors], float)

    def accuracy(limit: float) -> np.ndarray:
        return correct(limit) / np.maximum(matches, 1)

    squares = [
        np.unique(np.floor_divide(points_a[error <= threshold], threshold), axis=0)
        for points_a, error in zip(points, errors, strict=True)
    ]
    return MatchingScore(
        features=float(np.mean(features)),
        matches=float(matches.mean()),
        correct=float(correct(threshold).mean()),
        distinct=float(np.mean([len(square) for square in squares])),
        accuracy=float(accuracy(threshold).mean()),
        curve=tuple(float(accuracy(limit).mean()) for limit in MMA_THRESHOLDS),
        pair_correct=tuple(correct(threshold).tolist()),
        pair_accuracy=tuple(accuracy(threshold).tolist()),
    )


def bootstrap_error(values: Sequence[float], over: Sequence[float] | None = None) -> float:
    """Standard error of a mean over image pairs, or of the ratio of two means over the same pairs,
    by the bootstrap (Efron, Annals of Statistics 1979): 1000 draws of as many pairs, with
    replacement, the same draws every time. NaN where a draw of ``over`` has a mean of 0.

    Args:
        values: (P,) of each pair.
        over: (P,) of each pair, in the same order: the ratio's denominator.

    Raises:
        ValueError: there is no pair, or the two differ in length.
    """
    if not len(values) or (over is not None and len(over) != len(values)):
        raise ValueError("the bootstrap takes one value or more, and as many to divide by")
    draws = np.random.default_rng(0).integers(len(values), size=(1000, len(values)))
    means = np.asarray(values, float)[draws].mean(1)
    if over is not None:
        below = np.asarray(over, float)[draws].mean(1)
        means = means / np.where(below > 0, below, np.nan)
    return float(means.std())


def error_auc(errors: Sequence[float], threshold: float) -> float:
    """Area under the curve of recall over error, up to a threshold and divided by it, in [0, 1].

    The curve runs straight from (0, 0) through (error, share of the errors up to it), and level
    from the last error below the threshold, as in the evaluations of SuperGlue (Sarlin et al., CVPR
    2020) and those after it.

    Args:
        errors: of each pair; infinite where nothing could be estimated.
        threshold: in the errors' unit, above 0.

    Raises:
        ValueError: there is no error, or one is NaN.
    """
    if not len(errors):
        raise ValueError("there is no error to take the area of")
    if np.isnan(errors).any():
        raise ValueError("an error is NaN: give infinity where nothing could be estimated")
    below = np.sort([error for error in errors if error < threshold])
    steps = np.concatenate([[0.0], below, [threshold]])
    recall = np.concatenate([np.arange(len(below) + 1), [len(below)]]) / len(errors)
    return float((np.diff(steps) * (recall[1:] + recall[:-1])).sum() / 2 / threshold)


@dataclass(frozen=True)
class EstimationScore:
    """How near to the truth what is estimated from the matches comes, over image pairs.

    Attributes:
        pairs: how many pairs were judged.
        failures: of those, how many have no estimate. They count as infinitely wrong.
        median_error: in the errors' unit; infinite where most pairs have no estimate.
        accuracy: share of the pairs with an error up to each threshold, in [0, 1].
        auc: :func:`error_auc` of each threshold.
    """

    pairs: int
    failures: int
    median_error: float
    accuracy: dict[int, float]
    auc: dict[int, float]


def score_estimates(errors: Sequence[float], thresholds: Sequence[int]) -> EstimationScore:
    """The score of pairs' errors, infinite where nothing could be estimated.

    Raises:
        ValueError: there is no error, or one is NaN.
    """
    return EstimationScore(
        pairs=len(errors),
        failures=int(np.isinf(errors).sum()),
        median_error=float(np.median(errors)),
        accuracy={limit: float(np.mean(np.asarray(errors) <= limit)) for limit in thresholds},
        auc={limit: error_auc(errors, limit) for limit in thresholds},
    )


OVERALL = "overall"
"""The subset that is everything."""


@dataclass(frozen=True)
class MethodScore:
    """What one method scored. What an evaluation does not measure, or cannot for lack of ground
    truth, is None or empty.

    Attributes:
        method: its name.
        detector: whose features it describes.
        pairs: image pairs that were matched.
        features: mean of an image.
        matches: mean of a pair, mutual nearest neighbors.
        inliers: mean of a pair, to the estimated two-view geometry.
        matching: against known homographies, by subset.
        homography: mean corner error in pixels of estimated homographies, by subset.
        pose: error in degrees of estimated relative poses.
        milliseconds: median of each stage: an image's for "extract" and "boost", a pair's for
            "match" and "verify".
    """

    method: str
    detector: str
    pairs: int
    features: float
    matches: float
    inliers: float | None = None
    matching: dict[str, MatchingScore] = field(default_factory=dict)
    homography: dict[str, EstimationScore] = field(default_factory=dict)
    pose: EstimationScore | None = None
    milliseconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Methods side by side.

    Attributes:
        kind: what was done: "photos", "homography", "pose" or "sequence"; it decides on the tables.
        name: short, one of its own in a run: heads columns and names files.
        title: what was compared on what.
        scores: of the methods, in the order they were asked for.
        notes: what a reader must know: what was left out, or cannot be computed.
    """

    kind: str
    name: str
    title: str
    scores: tuple[MethodScore, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ratio:
    """Correct matches over those of another method, and the standard error of that."""

    value: float
    error: float


def correct_against_first(evaluation: Evaluation) -> list[Ratio | None]:
    """Of each score, its correct matches over those of the first method with the same features;
    None for that one itself, and where that has none.
    """
    first: dict[str, MethodScore] = {}
    ratios: list[Ratio | None] = []
    for score in evaluation.scores:
        base = first.setdefault(score.detector, score)
        if score is base or OVERALL not in score.matching or not base.matching[OVERALL].correct:
            ratios.append(None)
            continue
        ours, theirs = score.matching[OVERALL], base.matching[OVERALL]
        error = bootstrap_error(ours.pair_correct, theirs.pair_correct)
        ratios.append(Ratio(ours.correct / theirs.correct, error))
    return ratios
