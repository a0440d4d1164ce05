# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The results of a run: what every method scored on the same images."""

from __future__ import annotations

from dataclasses import dataclass, field

from .metrics import EstimationScore, MatchingScore, bootstrap_error

OVERALL = "overall"
"""The subset that is everything."""


@dataclass(frozen=True)
class MethodScore:
    """What one method scored. What a benchmark does not measure, or cannot for lack of ground
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
class Benchmark:
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


def correct_against_first(benchmark: Benchmark) -> list[Ratio | None]:
    """Of each score, its correct matches over those of the first method with the same features;
    None for that one itself, and where that has none.
    """
    first: dict[str, MethodScore] = {}
    ratios: list[Ratio | None] = []
    for score in benchmark.scores:
        base = first.setdefault(score.detector, score)
        if score is base or OVERALL not in score.matching or not base.matching[OVERALL].correct:
            ratios.append(None)
            continue
        ours, theirs = score.matching[OVERALL], base.matching[OVERALL]
        error = bootstrap_error(ours.pair_correct, theirs.pair_correct)
        ratios.append(Ratio(ours.correct / theirs.correct, error))
    return ratios
