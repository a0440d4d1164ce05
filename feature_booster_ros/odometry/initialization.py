# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The start of a map: motion and points from two views with enough parallax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..matching.guided import match_anywhere
from .bundle_adjustment import adjust
from .epipolar import estimate_motion, refine_motions
from .rigid import make_transform
from .settings import OdometrySettings
from .triangulation import Triangulation, triangulate
from .view import View

_RATIO = 0.9
"""Largest ratio of a match's descriptor distance to the second nearest's."""
_MAX_ERROR = 1.5
"""Largest epipolar and transfer error of an inlier of RANSAC [px]."""
_MIN_MODE_ANGLE = 15.0
"""Angle between the directions of two motions above which they are different [degrees]."""
_MIN_COST_GAP = 10.0
"""Difference of cost (twice the log-likelihood) above which the better motion is the true one."""
_MAX_RIVAL_RATIO = 0.75
"""Good points of another motion, as a share of the best one's, above which it is possible."""
_MIN_ROTATION_INLIER_RATIO = 0.6
"""Share of the pairs above which a rotation alone explains the two views."""
_MAX_ROTATION_ERROR = 4.0
"""Largest error of a pair that agrees with a rotation [sigmas]."""
_MAX_DIRECTION_SIGMA = 2.0
"""Largest standard deviation of the direction of translation [degrees]."""


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

    With little parallax or a narrow field of view, a wrong rotation with a wrong translation
    explains the pairs nearly as well as the true one, and for a plane there are two such motions.
    So the motion is refined from several directions, and one is returned only if no other has
    nearly its likelihood, its direction is known well, and the median angle between the rays
    reaches ``min_parallax``.

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

    motions = _candidate_motions(rays_a, rays_b, rotation, focal_length, settings.seed)
    motions, costs = refine_motions(motions, rays_a, rays_b, sigmas_a, sigmas_b)

    def points_of(motion: np.ndarray) -> Triangulation:
        return triangulate(
            np.eye(4), motion, rays_a, rays_b, sigmas_a, sigmas_b, 0.0, max_residual=4.0
        )

    def with_sign(motion: np.ndarray) -> tuple[np.ndarray, Triangulation]:
        """Return the motion, or that of opposite direction, with more points in front."""
        both = [(each, points_of(each)) for each in (motion, _reversed(motion))]
        return max(both, key=lambda each: int(each[1].is_good.sum()))

    order = np.argsort(costs)
    motion, found = with_sign(motions[order[0]])
    count = int(found.is_good.sum())
    if count < settings.min_inliers:
        return unknown("the views' matches do not fit one motion")
    cosines = np.abs(motions[:, :3, 3] @ motion[:3, 3])
    for index in order[(costs < costs[order[0]] + _MIN_COST_GAP)[order]]:
        if cosines[index] < np.cos(np.radians(_MIN_MODE_ANGLE)):
            rival = int(with_sign(motions[index])[1].is_good.sum())
            if rival > _MAX_RIVAL_RATIO * count:
                return unknown("waiting for parallax: two motions explain the views")
    motion, direction_sigma = _refine(motion, found, rays_a, rays_b, sigmas_a, sigmas_b)
    found = points_of(motion)
    if not found.is_good.any():
        return unknown("the views' matches do not fit one motion")
    parallax = float(np.median(found.angles[found.is_good]))
    if parallax < settings.min_parallax:
        return unknown(f"waiting for parallax: {parallax:.2f} of {settings.min_parallax:g} degrees")
    if direction_sigma > _MAX_DIRECTION_SIGMA:
        return unknown(
            f"waiting for parallax: the direction of motion is known to {direction_sigma:.1f} of "
            f"{_MAX_DIRECTION_SIGMA:g} degrees"
        )
    good = found.is_good & (found.angles > settings.min_angle)
    if good.sum() < settings.min_landmarks:
        return unknown(
            f"{good.sum()} landmarks of {settings.min_landmarks} needed to start the map"
        )
    triangulation = Triangulation(found.points, good, found.angles)
    structure = TwoViewStructure(motion, triangulation, count / len(pairs))
    return TwoViewEstimate(pairs, explained, structure, "")


def _refine(
    motion: np.ndarray,
    found: Triangulation,
    rays_a: np.ndarray,
    rays_b: np.ndarray,
    sigmas_a: np.ndarray,
    sigmas_b: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Adjust motion and points of two views.

    Returns:
        The motion (4, 4) with a translation of unit length, and the standard deviation of its
        direction [degrees].
    """
    good = np.flatnonzero(found.is_good)
    result = adjust(
        np.stack([np.eye(4), motion]),
        np.array([True, False]),
        found.points[good],
        np.repeat([0, 1], len(good)),
        np.tile(np.arange(len(good)), 2),
        np.concatenate([rays_a[good], rays_b[good]]),
        np.concatenate([sigmas_a[good], sigmas_b[good]]),
    )
    motion = result.poses[1]
    length = float(np.linalg.norm(motion[:3, 3]))
    # The scale is free: the direction of translation and the rotation are determined.
    _, _, basis = np.linalg.svd(motion[None, :3, 3])
    basis = np.block([[basis[1:].T, np.zeros((3, 3))], [np.zeros((3, 2)), np.eye(3)]])
    covariance = np.linalg.pinv(basis.T @ result.information @ basis, hermitian=True)
    sigma = np.sqrt(max(np.linalg.eigvalsh(covariance[:2, :2])[-1], 0.0)) / max(length, 1e-12)
    motion[:3, 3] /= max(length, 1e-12)
    return motion, float(np.degrees(sigma))


def _candidate_motions(
    rays_a: np.ndarray, rays_b: np.ndarray, rotation: np.ndarray, focal_length: float, seed: int
) -> np.ndarray:
    """Return motions (S, 4, 4) to start a refinement from: RANSAC's, and many directions."""
    directions = np.array([
        (x, y, z)
        for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)
        if (x, y, z) > (0, 0, 0)
    ], float)  # fmt: skip
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    motions = [make_transform(rotation, direction) for direction in directions]
    robust, _ = estimate_motion(rays_a, rays_b, focal_length, _MAX_ERROR, seed)
    return np.stack(motions if robust is None else [robust, *motions])


def _reversed(motion: np.ndarray) -> np.ndarray:
    """Return the motion (4, 4) with the opposite translation."""
    return make_transform(motion[:3, :3], -motion[:3, 3])


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
