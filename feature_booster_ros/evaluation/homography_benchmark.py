# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matching of images whose homography is known: HPatches, or pairs of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..features import Features
from ..matching import match
from ..pixels import read_gray
from ..progress import Progress
from .benchmark import OVERALL, MethodScore
from .homography import CORNER_THRESHOLDS, corner_error, estimate_homography, transfer_errors
from .homography_files import HomographySet
from .methods import Method, describe_all
from .metrics import score_estimates, score_matches


@dataclass
class _Tally:
    """Of every pair: mean features of its images, errors of its matches and their pixels in
    the first image, error of its corners.
    """

    features: list[float] = field(default_factory=list)
    errors: list[np.ndarray] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)
    corners: list[float] = field(default_factory=list)
    subsets: list[str | None] = field(default_factory=list)


def evaluate_homography_sets(
    sets: Sequence[HomographySet], methods: Sequence[Method]
) -> list[MethodScore]:
    """Mutual nearest neighbors of every reference with its targets, against the homographies; and
    the homographies estimated from them.

    Args:
        sets: the images.
        methods: to compare.

    Returns:
        The methods' scores, on everything and on each subset that the sets name.

    Raises:
        ValueError: there is no pair, or an image cannot be read.
    """
    tallies = [_Tally() for _ in methods]
    for images in Progress(sets, "image sets"):
        reference_image = read_gray(images.reference)
        references = describe_all(methods, reference_image)
        for path, homography in images.targets:
            targets = describe_all(methods, read_gray(path))
            for reference, target, tally in zip(references, targets, tallies, strict=True):
                tally.subsets.append(images.subset)
                _score_pair(reference, target, homography, reference_image.shape, tally)
    return [_score(method, tally) for method, tally in zip(methods, tallies, strict=True)]


def _score_pair(
    reference: Features,
    target: Features,
    homography: np.ndarray,
    image_shape: tuple[int, ...],
    tally: _Tally,
) -> None:
    matches = match(reference, target)
    points_a = reference.keypoints[matches.indices[:, 0]]
    points_b = target.keypoints[matches.indices[:, 1]]
    estimate = estimate_homography(points_a, points_b)
    tally.features.append((len(reference) + len(target)) / 2)
    tally.errors.append(transfer_errors(points_a, points_b, homography))
    tally.points.append(points_a)
    tally.corners.append(corner_error(estimate, homography, image_shape))


def _score(method: Method, tally: _Tally) -> MethodScore:
    matching, homography = {}, {}
    for subset in (OVERALL, *sorted({subset for subset in tally.subsets if subset})):
        chosen = [index for index, name in enumerate(tally.subsets) if subset in (OVERALL, name)]
        matching[subset] = score_matches(
            [tally.features[index] for index in chosen],
            [tally.errors[index] for index in chosen],
            [tally.points[index] for index in chosen],
        )
        homography[subset] = score_estimates(
            [tally.corners[index] for index in chosen], CORNER_THRESHOLDS
        )
    return MethodScore(
        method=method.name,
        detector=method.extractor.name,
        pairs=len(tally.errors),
        features=matching[OVERALL].features,
        matches=matching[OVERALL].matches,
        matching=matching,
        homography=homography,
    )
