# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics of matches and of estimates from them against ground truth, and the scores they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MMA_THRESHOLDS = tuple(range(1, 11))
"""Thresholds of the curve of mean matching accuracy [px]."""


@dataclass(frozen=True)
class MatchingScore:
    """Matching against known homographies, as means over image pairs.

    Attributes:
        features: Features per image.
        matches: Matches per pair.
        correct: Matches per pair within 3 pixels of the truth.
        distinct: Of those, matches in different squares of 3 pixels of the first image, so that a
            corner found on several pyramid levels counts once.
        accuracy: Mean matching accuracy (MMA, Mikolajczyk and Schmid, PAMI 2005): the share of a
            pair's matches within 3 pixels, in [0, 1]; a pair without matches counts as 0.
        curve: The same at each of ``MMA_THRESHOLDS``.
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
    """Return the mean score of image pairs.

    Args:
        features: For each pair, the mean number of features of its images.
        errors: For each pair, the distances (M,) of its matches from the truth in pixels; NaN is
            wrong.
        points: For each pair, the matched pixels (M, 2) of its first image.
        threshold: Largest distance of a correct match in pixels.

    Raises:
        ValueError: There is no pair.
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
    """Return the standard error of a mean over image pairs, or of a ratio of two means.

    By the bootstrap (Efron, Annals of Statistics 1979): 1000 draws of as many pairs, with
    replacement, the same draws every time.

    Args:
        values: (P,), one for each pair.
        over: (P,), the ratio's denominator for the same pairs; None for the error of a mean.

    Returns:
        The standard error; NaN if a draw of ``over`` has a mean of 0.

    Raises:
        ValueError: There is no pair, or the two differ in length.
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
    """Return the area under the curve of recall over error, up to a threshold.

    The curve is linear from (0, 0) through (error, share of the errors up to it), and level from
    the last error below the threshold, as in the evaluation of SuperGlue (Sarlin et al., CVPR 2020)
    and later ones.

    Args:
        errors: Error of each pair; infinite if nothing could be estimated.
        threshold: In the errors' unit, above 0.

    Returns:
        The area divided by the threshold, in [0, 1].

    Raises:
        ValueError: There is no error, or one is NaN.
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
    """Errors of homographies or poses estimated from the matches, over image pairs.

    Attributes:
        pairs: Number of pairs judged.
        failures: Number of those without an estimate, which count as infinitely wrong.
        median_error: In the errors' unit; infinite if most pairs have no estimate.
        accuracy: Share of the pairs with an error up to each threshold, in [0, 1].
        auc: :func:`error_auc` at each threshold.
    """

    pairs: int
    failures: int
    median_error: float
    accuracy: dict[int, float]
    auc: dict[int, float]


def score_estimates(errors: Sequence[float], thresholds: Sequence[int]) -> EstimationScore:
    """Return the score of pairs' errors, which are infinite if nothing could be estimated.

    Raises:
        ValueError: There is no error, or one is NaN.
    """
    return EstimationScore(
        pairs=len(errors),
        failures=int(np.isinf(errors).sum()),
        median_error=float(np.median(errors)),
        accuracy={limit: float(np.mean(np.asarray(errors) <= limit)) for limit in thresholds},
        auc={limit: error_auc(errors, limit) for limit in thresholds},
    )


OVERALL = "overall"
"""Name of the subset of all pairs."""


@dataclass(frozen=True)
class MethodScore:
    """The score of one method.

    What an evaluation does not measure, or cannot for lack of ground truth, is None or empty.

    Attributes:
        method: Name of the method.
        detector: Name of its extractor.
        pairs: Number of image pairs matched.
        features: Mean number per image.
        matches: Mean number of mutual nearest neighbors per pair.
        inliers: Mean number per pair that agree with the estimated two-view geometry.
        matching: Matching against known homographies, by subset.
        homography: Corner error in pixels of estimated homographies, by subset.
        pose: Error in degrees of estimated relative poses.
        milliseconds: Median time of each stage: per image for "extract" and "boost", per pair for
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
    """Scores of several methods on the same images.

    Attributes:
        kind: "photos", "homography", "pose" or "sequence", which decides on the columns of tables.
        name: Short name, unique in a run, for columns and files.
        title: What was compared, and on which images.
        scores: Scores of the methods, in the order given.
        notes: What a reader must know, such as what was left out or cannot be computed.
    """

    kind: str
    name: str
    title: str
    scores: tuple[MethodScore, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ratio:
    """Correct matches over those of another method, and the standard error of that ratio."""

    value: float
    error: float


def correct_against_first(evaluation: Evaluation, subset: str = OVERALL) -> list[Ratio | None]:
    """Compare each method's correct matches with those of the first method on the same features.

    Args:
        evaluation: Evaluation of the methods.
        subset: Subset of the pairs.

    Returns:
        A ratio for each score; None for that first method itself, or if it has no correct match.
    """
    first: dict[str, MethodScore] = {}
    ratios: list[Ratio | None] = []
    for score in evaluation.scores:
        base = first.setdefault(score.detector, score)
        if score is base or subset not in score.matching or not base.matching[subset].correct:
            ratios.append(None)
            continue
        ours, theirs = score.matching[subset], base.matching[subset]
        error = bootstrap_error(ours.pair_correct, theirs.pair_correct)
        ratios.append(Ratio(ours.correct / theirs.correct, error))
    return ratios
