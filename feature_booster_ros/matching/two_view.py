# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Epipolar geometry of matches, and the matches that agree with it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..camera import Camera

_MIN_ESSENTIAL = 5
"""Matches that determine an essential matrix; with more there are inliers to count."""
_MIN_FUNDAMENTAL = 8
"""Matches that determine a fundamental matrix."""


@dataclass(frozen=True, eq=False)
class TwoViewGeometry:
    """Epipolar geometry of two views.

    Attributes:
        model: "essential", "fundamental", or "none" where too few matches agree.
        matrix: (3, 3) float64 with x_b^T matrix x_a = 0, in normalized coordinates for an essential
            and in pixels for a fundamental matrix; None for "none".
        inliers: (M,) bool, the matches that agree.
    """

    model: str
    matrix: np.ndarray | None
    inliers: np.ndarray


def verify(
    points_a: np.ndarray,
    points_b: np.ndarray,
    camera_matrix_a: np.ndarray | None = None,
    camera_matrix_b: np.ndarray | None = None,
    distortion_a: np.ndarray | None = None,
    distortion_b: np.ndarray | None = None,
    threshold: float = 1.0,
    confidence: float = 0.999,
    max_iterations: int = 2000,
) -> TwoViewGeometry:
    """Estimate the epipolar geometry by OpenCV's MAGSAC++ (Barath et al., CVPR 2020).

    With intrinsics it is an essential matrix, else a fundamental matrix.

    Args:
        points_a: (M, 2) matched pixels of the first view.
        points_b: (M, 2) of the second.
        camera_matrix_a: (3, 3) intrinsics of the first view, or None.
        camera_matrix_b: (3, 3) of the second. Both or neither.
        distortion_a: OpenCV's coefficients (k1, k2, p1, p2, ...) of the first view, or None for
            none.
        distortion_b: of the second.
        threshold: largest distance of an inlier from the epipolar line [px].
        confidence: probability of the best model at which the search ends, in (0, 1).
        max_iterations: largest number of samples.

    Returns:
        The geometry; with too few matches for a model, "none" and no inliers. Points that are NaN,
        or outside of the model of a camera's distortion, are no inliers.

    Raises:
        ValueError: the arrays' shapes differ, only one camera matrix is given, one is not valid, or
            an option is out of range.
    """
    points_a, points_b = _points("points_a", points_a), _points("points_b", points_b)
    if len(points_a) != len(points_b):
        raise ValueError(
            f"points_a and points_b must be of one length, not {len(points_a)} and {len(points_b)}"
        )
    if (camera_matrix_a is None) != (camera_matrix_b is None):
        raise ValueError("camera_matrix_a and camera_matrix_b must both be given, or neither")
    if not threshold > 0 or not 0 < confidence < 1 or max_iterations < 1:
        raise ValueError(
            "threshold must be above 0, confidence in (0, 1) and max_iterations at least 1, "
            f"not {threshold}, {confidence} and {max_iterations}"
        )
    matrix = mask = None
    model = "fundamental"
    if camera_matrix_a is not None and camera_matrix_b is not None:
        model = "essential"
        camera_a = Camera.of_intrinsics(camera_matrix_a, distortion_a)
        camera_b = Camera.of_intrinsics(camera_matrix_b, distortion_b)
        focal = (camera_a.focal_length + camera_b.focal_length) / 2
        points_a, points_b = camera_a.rays(points_a), camera_b.rays(points_b)
    known = np.isfinite(points_a).all(axis=1) & np.isfinite(points_b).all(axis=1)
    points_a, points_b = points_a[known], points_b[known]
    if model == "essential":
        if len(points_a) > _MIN_ESSENTIAL:
            # The points are rays: the intrinsics are the identity, focal lengths the unit.
            matrix, mask = _estimate(
                cv2.findEssentialMat, points_a, points_b, np.eye(3), method=cv2.USAC_MAGSAC,
                prob=confidence, threshold=threshold / focal, maxIters=max_iterations,
            )  # fmt: skip
    elif len(points_a) > _MIN_FUNDAMENTAL:
        matrix, mask = _estimate(
            cv2.findFundamentalMat, points_a, points_b, method=cv2.USAC_MAGSAC,
            ransacReprojThreshold=threshold, confidence=confidence, maxIters=max_iterations,
        )  # fmt: skip
    inliers = np.zeros(len(known), bool)
    if matrix is None or matrix.shape != (3, 3) or mask is None:
        return TwoViewGeometry("none", None, inliers)
    inliers[known] = mask.ravel().astype(bool)
    return TwoViewGeometry(model, matrix, inliers)


def _points(name: str, points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{name} must have shape (M, 2), not {points.shape}")
    return np.ascontiguousarray(points)


def _estimate(
    estimator, *args: object, **kwargs: object
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the estimator's matrix and mask, both None where it raises (degenerate points)."""
    try:
        return estimator(*args, **kwargs)
    except cv2.error:
        return None, None
