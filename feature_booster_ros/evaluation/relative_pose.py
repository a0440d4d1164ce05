# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The motion between two views from matches, and how far it is from the truth."""

from __future__ import annotations

import cv2
import numpy as np

from ..camera import Camera
from ..matching import TwoViewGeometry, verify

POSE_THRESHOLDS = (5, 10, 20)
"""Degrees at which the area under the curve of recall over pose error is taken."""

# As SuperGlue's evaluation. Where few matches are right, the sooner stop that is quick enough for a
# node measures the luck of the sampling more than the matches: on KITTI 8 frames apart it takes 8
# points of AUC@5 from raw SIFT.
VERIFICATION = {"threshold": 1.0, "confidence": 0.99999, "max_iterations": 10_000}
"""Options of :func:`matching.verify` in evaluations: pixels, probability, samples."""

_NO_BASELINE = 1e-9
_FARTHEST = 1e9  # baselines: points at infinity tell on which side of the camera they are, too


def estimate_pose(
    points_a: np.ndarray,
    points_b: np.ndarray,
    camera_matrix_a: np.ndarray,
    camera_matrix_b: np.ndarray,
) -> tuple[TwoViewGeometry, np.ndarray | None]:
    """The essential matrix of matched pixels (M, 2), by :func:`matching.verify`, and the motion in
    it.

    Args:
        points_a: pixels of the first view, undistorted.
        points_b: of the second.
        camera_matrix_a: (3, 3) intrinsics of the first view.
        camera_matrix_b: of the second.

    Returns:
        The geometry, and (4, 4) that takes points of the first camera to the second with a
        translation of length 1; None where no matrix was found, or no point lies before both
        cameras.
    """
    geometry = verify(points_a, points_b, camera_matrix_a, camera_matrix_b, **VERIFICATION)
    return geometry, recover_pose(geometry, points_a, points_b, camera_matrix_a, camera_matrix_b)


def recover_pose(
    geometry: TwoViewGeometry,
    points_a: np.ndarray,
    points_b: np.ndarray,
    camera_matrix_a: np.ndarray,
    camera_matrix_b: np.ndarray,
) -> np.ndarray | None:
    """The motion (4, 4) in an essential matrix; arguments and result as of
    :func:`estimate_pose`.
    """
    if geometry.model != "essential":
        return None
    rays_a = Camera(0, 0, camera_matrix_a).rays(points_a[geometry.inliers])
    rays_b = Camera(0, 0, camera_matrix_b).rays(points_b[geometry.inliers])
    if not len(rays_a):
        return None
    before_both, rotation, translation, *_ = cv2.recoverPose(
        geometry.matrix, rays_a, rays_b, np.eye(3), distanceThresh=_FARTHEST
    )
    if not before_both:
        return None
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, translation.ravel()
    return motion


def pose_error(estimate: np.ndarray | None, truth: np.ndarray) -> float:
    """The larger of the angles in degrees by which rotation and direction of translation are off.

    The translation's sign is left open, as usual (Sarlin et al., SuperGlue, CVPR 2020): it is that
    of the points' depth.

    Args:
        estimate: (4, 4) motion, or None.
        truth: (4, 4).

    Returns:
        Degrees in [0, 180]; infinite without an estimate; NaN where the true translation is 0 and
        so has no direction.
    """
    if np.linalg.norm(truth[:3, 3]) < _NO_BASELINE:
        return float("nan")
    if estimate is None:
        return float("inf")
    return max(
        rotation_angle(estimate[:3, :3].T @ truth[:3, :3]),
        translation_angle(estimate[:3, 3], truth[:3, 3]),
    )


def rotation_angle(rotation: np.ndarray) -> float:
    """The angle in degrees, in [0, 180], of a rotation (3, 3)."""
    # By sine and cosine both, as the arc cosine alone is inexact for small angles.
    skew = rotation - rotation.T
    twice_sine = np.linalg.norm([skew[2, 1], skew[0, 2], skew[1, 0]])
    return float(np.rad2deg(np.arctan2(twice_sine, np.trace(rotation) - 1)))


def translation_angle(a: np.ndarray, b: np.ndarray) -> float:
    """The angle in degrees, in [0, 90], between two directions (3,) up to their signs."""
    return float(np.rad2deg(np.arctan2(np.linalg.norm(np.cross(a, b)), abs(a @ b))))
