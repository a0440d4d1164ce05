# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a map begins: motion and points from two views with enough parallax."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..matching.guided import match_anywhere
from .epipolar import relative_pose
from .rigid import rigid
from .settings import OdometrySettings
from .triangulation import Triangulation, triangulate
from .view import View

_RATIO = 0.9
_THRESHOLD = 1.5
"""Largest epipolar and transfer error in pixels, as RANSAC counts."""
_PLANAR = 0.5
"""A homography is preferred from this share of the two scores on (ORB-SLAM, T-RO 2015, eq. 2)."""
_CLEARLY = 0.75
"""The second best decomposition of a homography may have this share of the best one's points."""
_TURN_INLIERS = 0.6
_TURN_ERROR = 4.0
"""In sigmas."""


@dataclass(frozen=True, eq=False)
class TwoViews:
    """What two views say.

    Attributes:
        motion: (4, 4), first camera to second, translation of unit length; None where the two do
            not tell it (yet).
        pairs: (M, 2) rows of the features of both views.
        triangulation: of the pairs, in the first camera; None without a motion.
        turn: (3, 3) rotation from the first camera to the second if a rotation alone explains the
            pairs, else None.
        agreeing: share of the pairs that agree with the motion.
        reason: what is missing, or empty.
    """

    motion: np.ndarray | None
    pairs: np.ndarray
    triangulation: Triangulation | None
    turn: np.ndarray | None
    agreeing: float
    reason: str


def relate(a: View, b: View, focal_length: float, settings: OdometrySettings) -> TwoViews:
    """Motion, points and rotation from view ``a`` to view ``b``.

    Essential matrix or homography, whichever fits better by truncated errors: a plane and a general
    scene need different models (Mur-Artal et al., T-RO 2015, section IV). No motion is given before
    the median angle between the rays, without the rotation, reaches ``min_parallax``.
    """
    pairs = match_anywhere(a.features.descriptors, b.features.descriptors, _RATIO)
    if len(pairs) < settings.min_inliers:
        return TwoViews(None, pairs, None, None, 0.0, f"{len(pairs)} matches with the first view")
    rays_a, rays_b = a.rays[pairs[:, 0]], b.rays[pairs[:, 1]]
    sigmas_a, sigmas_b = a.sigmas[pairs[:, 0]], b.sigmas[pairs[:, 1]]
    turn, agreeing = _turn(rays_a, rays_b, np.hypot(sigmas_a, sigmas_b))
    explained = turn if agreeing > _TURN_INLIERS else None

    candidates = _motions(rays_a, rays_b, focal_length, settings.seed)
    best: tuple[int, np.ndarray, Triangulation] | None = None
    counts = []
    for motion in candidates:
        points = triangulate(
            np.eye(4), motion, rays_a, rays_b, sigmas_a, sigmas_b, 0.0, largest_residual=4.0
        )
        counts.append(int(points.is_good.sum()))
        if best is None or counts[-1] > best[0]:
            best = counts[-1], motion, points
    if best is None or best[0] < settings.min_inliers:
        return TwoViews(
            None, pairs, None, explained, 0.0, "the views' matches do not fit one motion"
        )
    _, motion, found = best
    parallax = float(np.median(found.angles[found.is_good]))
    if parallax < settings.min_parallax:
        reason = f"waiting for parallax: {parallax:.2f} of {settings.min_parallax:g} degrees"
        return TwoViews(None, pairs, None, explained, 0.0, reason)
    if len(counts) > 1 and sorted(counts)[-2] > _CLEARLY * best[0]:
        return TwoViews(None, pairs, None, explained, 0.0, "the plane seen allows for two motions")
    good = found.is_good & (found.angles > settings.minimum_angle)
    if good.sum() < settings.minimum_landmarks:
        reason = f"{good.sum()} landmarks of {settings.minimum_landmarks} to begin with"
        return TwoViews(None, pairs, None, explained, 0.0, reason)
    return TwoViews(
        motion,
        pairs,
        Triangulation(found.points, good, found.angles),
        explained,
        best[0] / len(pairs),
        "",
    )


def _motions(
    rays_a: np.ndarray, rays_b: np.ndarray, focal_length: float, seed: int
) -> list[np.ndarray]:
    """Motions (4, 4) to choose from: one for an essential matrix, up to four for a homography."""
    a, b = rays_a * focal_length, rays_b * focal_length
    motion, _ = relative_pose(rays_a, rays_b, focal_length, _THRESHOLD, seed)
    motions, essential_score = [], 0.0
    if motion is not None:
        motions, essential_score = [motion], _epipolar_score(motion, a, b, focal_length)
    homography, mask = cv2.findHomography(
        a, b, cv2.USAC_MAGSAC, _THRESHOLD, maxIters=2000, confidence=0.999
    )
    if homography is None or mask.sum() < 6:
        return motions
    planar_score = _transfer_score(homography, a, b)
    if planar_score < _PLANAR * (planar_score + essential_score):
        return motions
    intrinsics = np.diag([focal_length, focal_length, 1.0])
    count, turns, shifts, _ = cv2.decomposeHomographyMat(homography, intrinsics)
    decomposed = [
        rigid(turns[index], shifts[index] / np.linalg.norm(shifts[index]))
        for index in range(count)
        if np.linalg.norm(shifts[index]) > 1e-6
    ]
    return decomposed or motions


def _epipolar_score(motion: np.ndarray, a: np.ndarray, b: np.ndarray, focal: float) -> float:
    """Truncated squared distances from the epipolar lines, in both images (3.84 of 1 pixel)."""
    x, y, z = motion[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ motion[:3, :3]
    ones = np.full((len(a), 1), focal)
    a, b = np.hstack([a, ones]), np.hstack([b, ones])
    lines_b, lines_a = a @ essential.T, b @ essential
    algebraic = np.einsum("ij,ij->i", b, lines_b) ** 2
    score = 0.0
    for lines in (lines_a, lines_b):
        squared = algebraic / np.maximum((lines[:, :2] ** 2).sum(axis=1), 1e-12)
        score += np.where(squared < 3.84, 5.99 - squared, 0).sum()
    return float(score)


def _transfer_score(homography: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Truncated squared transfer errors in both images (5.99 of 1 pixel)."""
    score = 0.0
    for matrix, source, target in ((homography, a, b), (np.linalg.inv(homography), b, a)):
        moved = cv2.perspectiveTransform(source[:, None], matrix)[:, 0]
        squared = ((moved - target) ** 2).sum(axis=1)
        score += np.where(squared < 5.99, 5.99 - squared, 0).sum()
    return float(score)


def _turn(rays_a: np.ndarray, rays_b: np.ndarray, sigmas: np.ndarray) -> tuple[np.ndarray, float]:
    """Rotation (3, 3) from a to b, and the share of rays that agree: Kabsch's solution, reweighted
    by Cauchy's loss whose width shrinks.
    """
    a, b = (
        np.hstack([rays, np.ones((len(rays), 1))])
        / np.sqrt(1 + (rays**2).sum(axis=1, keepdims=True))
        for rays in (rays_a, rays_b)
    )
    weights = np.ones(len(a))
    turn, error = np.eye(3), np.zeros(len(a))
    for width in (64, 32, 16, 8, 4, 2, 2, 2):
        u, _, vt = np.linalg.svd((b * weights[:, None]).T @ a)
        turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        error = np.linalg.norm(b - a @ turn.T, axis=1) / sigmas
        weights = 1 / (1 + (error / width) ** 2)
    return turn, float((error < _TURN_ERROR).mean())
