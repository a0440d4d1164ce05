# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matching of images related by a known homography, and homographies estimated from matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..features import Features
from ..matching import match
from ..methods import Method, describe_all
from ..photos import warp_points
from ..pixels import read_gray
from ..progress import Progress
from .image_pairs import HomographySet
from .metrics import OVERALL, MethodScore, score_estimates, score_matches

CORNER_THRESHOLDS = (1, 3, 5)
"""Pixels of mean corner error at which estimates are judged."""

# Largest distance of an inlier from where the homography takes its point [px].
_MAX_ERROR = 3.0
# A homography has 8 degrees of freedom, of which a match fixes 2.
_MIN_MATCHES = 4


def transfer_errors(
    points_a: np.ndarray, points_b: np.ndarray, homography: np.ndarray
) -> np.ndarray:
    """Return how far matched points are from where the true homography puts them.

    Args:
        points_a: (M, 2) matched pixels of the first image.
        points_b: (M, 2) of the second.
        homography: (3, 3) from pixels of the first image to those of the second.

    Returns:
        Distances (M,) in pixels in the second image; NaN for a point that the homography takes
        behind the camera.
    """
    there = warp_points(np.asarray(points_a, np.float64), homography)
    return np.linalg.norm(there - points_b, axis=1)


def estimate_homography(points_a: np.ndarray, points_b: np.ndarray) -> np.ndarray | None:
    """Estimate the homography (3, 3) from matched pixels (M, 2); None if that fails.

    By OpenCV's MAGSAC++ (Barath et al., CVPR 2020), with inliers within 3 pixels.
    """
    if len(points_a) < _MIN_MATCHES:
        return None
    try:
        homography, _ = cv2.findHomography(
            np.asarray(points_a, np.float64),
            np.asarray(points_b, np.float64),
            cv2.USAC_MAGSAC,
            _MAX_ERROR,
            maxIters=10_000,
            confidence=0.99999,
        )
    except cv2.error:  # degenerate points
        return None
    return homography


def corner_error(
    estimate: np.ndarray | None, truth: np.ndarray, image_shape: tuple[int, ...]
) -> float:
    """Return the mean corner error of a homography (DeTone et al., SuperPoint, CVPRW 2018).

    Args:
        estimate: (3, 3) from pixels of the first image to those of the second, or None.
        truth: (3, 3), the known homography.
        image_shape: (height, width, ...) of the first image.

    Returns:
        The mean distance, in pixels in the second image, between the first image's corners as taken
        by the estimate and by the truth; infinite without an estimate, or if it takes a corner to
        infinity or beyond.
    """
    if estimate is None:
        return float("inf")
    height, width = image_shape[:2]
    corners = np.array(
        [[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], np.float64
    )
    # The sign of an estimate is arbitrary; that of depth, which warp_points asks for, is not.
    center_depth = estimate[2] @ [(width - 1) / 2, (height - 1) / 2, 1]
    there = warp_points(corners, estimate * np.sign(center_depth))
    error = np.linalg.norm(there - warp_points(corners, truth), axis=1).mean()
    return float(error) if np.isfinite(error) else float("inf")


@dataclass
class _Tally:
    """What one method gives on the pairs, one entry per pair.

    Attributes:
        features: Mean number of features of the two images.
        errors: (M,) transfer errors of the matches in pixels.
        points: (M, 2) matched pixels of the first image.
        corners: Corner error of the estimated homography in pixels.
        subsets: Subset that the pair belongs to, or None.
    """

    features: list[float] = field(default_factory=list)
    errors: list[np.ndarray] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)
    corners: list[float] = field(default_factory=list)
    subsets: list[str | None] = field(default_factory=list)


def evaluate_homography_sets(
    sets: Sequence[HomographySet], methods: Sequence[Method]
) -> list[MethodScore]:
    """Score methods on images with known homographies.

    Mutual nearest neighbors of every reference with its targets are compared with the known
    homography, and so is the homography estimated from them.

    Args:
        sets: Reference images with their targets.
        methods: Methods to compare.

    Returns:
        The methods' scores, on all pairs and on each subset that the sets name.

    Raises:
        ValueError: There is no pair, or an image cannot be read.
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
