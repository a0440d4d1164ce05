# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The start of a map: motion and points from two views with enough parallax."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..matching.guided import match_anywhere
from .epipolar import estimate_motion
from .rigid import cross_matrix, make_transform
from .settings import OdometrySettings
from .triangulation import Triangulation, triangulate
from .view import View

_RATIO = 0.9
"""Largest ratio of a match's descriptor distance to the second nearest's."""
_MAX_ERROR = 1.5
"""Largest epipolar and transfer error of an inlier of RANSAC [px]."""
_PLANAR_SCORE_RATIO = 0.5
"""Least share of the two scores of a chosen homography (ORB-SLAM, T-RO 2015, eq. 2)."""
_MAX_SECOND_BEST_RATIO = 0.75
"""Good points of a homography's second best decomposition, as a share of the best one's, above
which the motion is ambiguous."""
_MIN_ROTATION_INLIER_RATIO = 0.6
"""Share of the pairs above which a rotation alone explains the two views."""
_MAX_ROTATION_ERROR = 4.0
"""Largest error of a pair that agrees with a rotation [sigmas]."""
_CHI_SQUARED_1, _CHI_SQUARED_2 = 3.84, 5.99
"""Largest squared errors that count for a model [px^2]: the 95 % quantiles of one and of two
degrees of freedom at a standard deviation of 1 px."""


@dataclass(frozen=True, eq=False)
class TwoViewStructure:
    """Motion and points of two views with parallax.

    Attributes:
        motion: (4, 4), first camera to second, with a translation of unit length.
        triangulation: of the pairs, in the first camera.
        inlier_ratio: share of the pairs that agree with the motion.
    """

    motion: np.ndarray
    triangulation: Triangulation
    inlier_ratio: float


@dataclass(frozen=True, eq=False)
class TwoViewEstimate:
    """What is known of two views.

    Attributes:
        pairs: (M, 2) rows of the features of both views.
        rotation: (3, 3), first camera to second, if a rotation alone explains the pairs, else None.
        structure: motion and points, or None while the views do not determine them.
        reason: why there is no structure, or empty.
    """

    pairs: np.ndarray
    rotation: np.ndarray | None
    structure: TwoViewStructure | None
    reason: str


def estimate_two_view(
    a: View, b: View, focal_length: float, settings: OdometrySettings
) -> TwoViewEstimate:
    """Estimate motion, points and rotation from view ``a`` to view ``b``.

    The model is an essential matrix or a homography, whichever has the smaller truncated errors: a
    plane and a general scene need different models (Mur-Artal et al., T-RO 2015, section IV). There
    is no motion before the median angle between the rays reaches ``min_parallax``.

    Args:
        a: first view.
        b: second view.
        focal_length: converts thresholds to the unit of the rays [px].
        settings: of the odometry.
    """
    pairs = match_anywhere(a.features.descriptors, b.features.descriptors, _RATIO)
    if len(pairs) < settings.min_inliers:
        return TwoViewEstimate(pairs, None, None, f"{len(pairs)} matches with the first view")
    rays_a, rays_b = a.rays[pairs[:, 0]], b.rays[pairs[:, 1]]
    sigmas_a, sigmas_b = a.sigmas[pairs[:, 0]], b.sigmas[pairs[:, 1]]
    rotation, inlier_ratio = _estimate_rotation(rays_a, rays_b, np.hypot(sigmas_a, sigmas_b))
    explained = rotation if inlier_ratio > _MIN_ROTATION_INLIER_RATIO else None

    def unknown(reason: str) -> TwoViewEstimate:
        return TwoViewEstimate(pairs, explained, None, reason)

    candidates = _candidate_motions(rays_a, rays_b, focal_length, settings.seed)
    best: tuple[int, np.ndarray, Triangulation] | None = None
    counts = []
    for motion in candidates:
        points = triangulate(
            np.eye(4), motion, rays_a, rays_b, sigmas_a, sigmas_b, 0.0, max_residual=4.0
        )
        counts.append(int(points.is_good.sum()))
        if best is None or counts[-1] > best[0]:
            best = counts[-1], motion, points
    if best is None or best[0] < settings.min_inliers:
        return unknown("the views' matches do not fit one motion")
    _, motion, found = best
    parallax = float(np.median(found.angles[found.is_good]))
    if parallax < settings.min_parallax:
        return unknown(f"waiting for parallax: {parallax:.2f} of {settings.min_parallax:g} degrees")
    if len(counts) > 1 and sorted(counts)[-2] > _MAX_SECOND_BEST_RATIO * best[0]:
        return unknown("the plane seen allows for two motions")
    good = found.is_good & (found.angles > settings.min_angle)
    if good.sum() < settings.min_landmarks:
        return unknown(f"{good.sum()} landmarks of {settings.min_landmarks} to begin with")
    triangulation = Triangulation(found.points, good, found.angles)
    structure = TwoViewStructure(motion, triangulation, best[0] / len(pairs))
    return TwoViewEstimate(pairs, explained, structure, "")


def _candidate_motions(
    rays_a: np.ndarray, rays_b: np.ndarray, focal_length: float, seed: int
) -> list[np.ndarray]:
    """Return candidate motions (4, 4): one of an essential matrix, up to four of a homography."""
    a, b = rays_a * focal_length, rays_b * focal_length
    motion, _ = estimate_motion(rays_a, rays_b, focal_length, _MAX_ERROR, seed)
    motions, essential_score = [], 0.0
    if motion is not None:
        motions, essential_score = [motion], _epipolar_score(motion, a, b, focal_length)
    homography, mask = cv2.findHomography(
        a, b, cv2.USAC_MAGSAC, _MAX_ERROR, maxIters=2000, confidence=0.999
    )
    if homography is None or mask.sum() < 6:
        return motions
    planar_score = _transfer_score(homography, a, b)
    if planar_score < _PLANAR_SCORE_RATIO * (planar_score + essential_score):
        return motions
    intrinsics = np.diag([focal_length, focal_length, 1.0])
    count, rotations, translations, _ = cv2.decomposeHomographyMat(homography, intrinsics)
    decomposed = [
        make_transform(rotations[index], translations[index] / np.linalg.norm(translations[index]))
        for index in range(count)
        if np.linalg.norm(translations[index]) > 1e-6
    ]
    return decomposed or motions


def _epipolar_score(motion: np.ndarray, a: np.ndarray, b: np.ndarray, focal: float) -> float:
    """Sum the truncated squared distances from the epipolar lines in both images [px^2]."""
    essential = cross_matrix(motion[:3, 3]) @ motion[:3, :3]
    ones = np.full((len(a), 1), focal)
    a, b = np.hstack([a, ones]), np.hstack([b, ones])
    lines_b, lines_a = a @ essential.T, b @ essential
    algebraic = np.einsum("ij,ij->i", b, lines_b) ** 2
    score = 0.0
    for lines in (lines_a, lines_b):
        squared = algebraic / np.maximum((lines[:, :2] ** 2).sum(axis=1), 1e-12)
        score += np.where(squared < _CHI_SQUARED_1, _CHI_SQUARED_2 - squared, 0).sum()
    return float(score)


def _transfer_score(homography: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Sum the truncated squared transfer errors in both images [px^2]."""
    score = 0.0
    for matrix, source, target in ((homography, a, b), (np.linalg.inv(homography), b, a)):
        moved = cv2.perspectiveTransform(source[:, None], matrix)[:, 0]
        squared = ((moved - target) ** 2).sum(axis=1)
        score += np.where(squared < _CHI_SQUARED_2, _CHI_SQUARED_2 - squared, 0).sum()
    return float(score)


def _estimate_rotation(
    rays_a: np.ndarray, rays_b: np.ndarray, sigmas: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the rotation (3, 3) from a to b, and the share of the pairs that agree with it.

    It is Kabsch's solution, reweighted by Cauchy's loss of decreasing width.
    """
    a, b = (
        np.hstack([rays, np.ones((len(rays), 1))])
        / np.sqrt(1 + (rays**2).sum(axis=1, keepdims=True))
        for rays in (rays_a, rays_b)
    )
    weights = np.ones(len(a))
    rotation, error = np.eye(3), np.zeros(len(a))
    for width in (64, 32, 16, 8, 4, 2, 2, 2):
        u, _, vt = np.linalg.svd((b * weights[:, None]).T @ a)
        rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        error = np.linalg.norm(b - a @ rotation.T, axis=1) / sigmas
        weights = 1 / (1 + (error / width) ** 2)
    return rotation, float((error < _MAX_ROTATION_ERROR).mean())
