# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Estimation of a homography from matches, and how far it is from the truth."""

from __future__ import annotations

import cv2
import numpy as np

from ..photos import warp_points

CORNER_THRESHOLDS = (1, 3, 5)
"""Pixels of mean corner error at which estimates are judged."""

_INLIER_PIXELS = 3.0
_MINIMUM_MATCHES = 4


def transfer_errors(
    points_a: np.ndarray, points_b: np.ndarray, homography: np.ndarray
) -> np.ndarray:
    """Distances (M,) in pixels of matched points (M, 2) of the second image from where the
    homography takes those of the first; NaN where it takes them behind the camera.
    """
    there = warp_points(np.asarray(points_a, np.float64), homography)
    return np.linalg.norm(there - points_b, axis=1)


def estimate_homography(points_a: np.ndarray, points_b: np.ndarray) -> np.ndarray | None:
    """The homography (3, 3) from matched points (M, 2) by OpenCV's MAGSAC++ (Barath et al., CVPR
    2020), inliers within 3 pixels; None where there is none.
    """
    if len(points_a) < _MINIMUM_MATCHES:
        return None
    try:
        homography, _ = cv2.findHomography(
            np.asarray(points_a, np.float64),
            np.asarray(points_b, np.float64),
            cv2.USAC_MAGSAC,
            _INLIER_PIXELS,
            maxIters=10_000,
            confidence=0.99999,
        )
    except cv2.error:  # degenerate points
        return None
    return homography


def corner_error(
    estimate: np.ndarray | None, truth: np.ndarray, image_shape: tuple[int, ...]
) -> float:
    """Mean distance in pixels between the first image's corners as estimate and truth (3, 3) take
    them to the second (DeTone et al., SuperPoint, CVPRW 2018); infinite without an estimate, or
    where it takes a corner to infinity or beyond.

    Args:
        estimate: or None.
        truth: known homography.
        image_shape: (height, width, ...) of the first image.
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
