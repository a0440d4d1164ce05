# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pose of a camera that sees known landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import poselib

from .rigid import rigid, rotation_of, transformed

_INLIER = 2.5
"""Largest residual of an inlier in sigmas: 95.6 % of a two-dimensional Gaussian lie within."""
_ITERATIONS = 8
_CONVERGED = 0.02
"""A step this small, in the pose's own standard deviations, is the last."""
_FARTHEST = 3.0
"""Spreads that a point slides at most."""
_NEAREST = 0.8
"""Share of its distance by which it may come nearer."""


@dataclass(frozen=True, eq=False)
class AbsolutePose:
    """A pose from M landmarks.

    Attributes:
        pose: (4, 4), world to camera.
        inliers: (M,) bool.
        information: (6, 6), inverse covariance of the camera's translation and rotation, in the
            camera's axes; from the inliers and their sigmas.
    """

    pose: np.ndarray
    inliers: np.ndarray
    information: np.ndarray


def estimate_pose(
    rays: np.ndarray,
    sigmas: np.ndarray,
    points: np.ndarray,
    spreads: np.ndarray,
    focal_length: float,
    threshold: float,
    seed: int = 0,
) -> AbsolutePose | None:
    """Pose by poselib's LO-RANSAC, then refined with each ray's and point's own uncertainty; None
    if there is none.

    Args:
        rays: (M, 2) at depth 1.
        sigmas: (M,) of the rays.
        points: (M, 3) in the world.
        spreads: (M, 3), one standard deviation of each point along the line on which it is least
            known.
        focal_length: in pixels, that ``threshold`` is to be understood with.
        threshold: of RANSAC, in pixels.
        seed: of RANSAC.
    """
    if len(rays) < 4:
        return None
    camera = {"model": "SIMPLE_PINHOLE", "width": 1, "height": 1, "params": [focal_length, 0, 0]}
    found, report = poselib.estimate_absolute_pose(
        rays * focal_length,
        points,
        camera,
        {"max_reproj_error": threshold, "min_iterations": 50, "max_iterations": 1000, "seed": seed},
        {},
    )
    if report["num_inliers"] < 4 or not np.isfinite(found.t).all():
        return None
    return refine_pose(rigid(found.R, found.t), rays, sigmas, points, spreads)


def refine_pose(
    pose: np.ndarray,
    rays: np.ndarray,
    sigmas: np.ndarray,
    points: np.ndarray,
    spreads: np.ndarray,
) -> AbsolutePose:
    """The pose of least squared residuals in sigmas, under Cauchy's robust loss, from ``pose``
    (4, 4) on: Gauss-Newton on the six parameters of a motion on the camera's side.

    A point's depth is known far less well than its direction, and where the camera has moved aside
    a wrong depth is a wrong pixel. So each point may slide along its spread, at the price of a
    residual of its own, and is eliminated (Triggs et al., 2000, section 6.1): points of poor depth
    still tell the rotation. To weigh them less without letting them slide would make every step of
    the camera too short, as errors in what one regresses on do.

    Own code, since poselib's refinement takes no weight for each point and gives no covariance.
    """
    slide = np.zeros(len(points))
    least, most = _slides(pose, points, spreads)
    for _ in range(_ITERATIONS):
        residuals, jacobian, smear, valid = _linearized(
            pose, rays, sigmas, points + slide[:, None] * spreads, spreads
        )
        # As if seen from where the point was thought to be.
        residuals -= smear * slide[:, None]
        white, white_jacobian = _whitened(residuals, jacobian, smear)
        squared = (white**2).sum(axis=1)
        weights = valid / (1 + squared / _INLIER**2)
        rows = white_jacobian.reshape(-1, 6)
        weighted = rows * np.repeat(weights, 2)[:, None]
        hessian, gradient = weighted.T @ rows, weighted.T @ white.ravel()
        damping = 1e-9 * np.trace(hessian)
        if not damping > 0:  # no point in front of the camera
            break
        step = -np.linalg.solve(hessian + damping * np.eye(6), gradient)
        pose = rigid(rotation_of(step[3:]), step[:3]) @ pose
        residuals += jacobian @ step
        along = (smear * residuals).sum(axis=1) / (1 + (smear**2).sum(axis=1))
        slide = np.clip(-along, least, most)
        if step @ hessian @ step < _CONVERGED**2:
            break
    residuals, jacobian, smear, valid = _linearized(
        pose, rays, sigmas, points + slide[:, None] * spreads, spreads
    )
    residuals -= smear * slide[:, None]
    white, white_jacobian = _whitened(residuals, jacobian, smear)
    inliers = valid & (np.linalg.norm(white, axis=1) < _INLIER)
    rows = white_jacobian[inliers].reshape(-1, 6)
    return AbsolutePose(pose, inliers, rows.T @ rows)


def world_covariance(found: AbsolutePose) -> np.ndarray:
    """(6, 6) of the camera's position and of its rotation, in the world's axes."""
    covariance = np.linalg.pinv(found.information, hermitian=True)
    turn = np.zeros((6, 6))
    # A motion on the camera's side moves the camera the other way (T' = exp(x) T).
    turn[:3, :3] = turn[3:, 3:] = -found.pose[:3, :3].T
    return turn @ covariance @ turn.T


def _slides(
    pose: np.ndarray, points: np.ndarray, spreads: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How many of its spreads each point may slide, (M,) and (M,), without coming too near."""
    center = -pose[:3, :3].T @ pose[:3, 3]
    length = np.maximum(np.linalg.norm(spreads, axis=1), 1e-12)
    distance = np.linalg.norm(points - center, axis=1)
    return -np.minimum(_FARTHEST, _NEAREST * distance / length), np.full(len(points), _FARTHEST)


def _linearized(
    pose: np.ndarray,
    rays: np.ndarray,
    sigmas: np.ndarray,
    points: np.ndarray,
    spreads: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Residuals (M, 2) in sigmas, their derivatives by the pose (M, 2, 6) and by the point along
    its spread (M, 2), and which points lie in front.
    """
    seen = transformed(pose, points)
    valid = seen[:, 2] > 1e-6
    inverse_depth = 1 / np.where(valid, seen[:, 2], 1.0)
    u, v = seen[:, 0] * inverse_depth, seen[:, 1] * inverse_depth
    residuals = np.stack([u - rays[:, 0], v - rays[:, 1]], axis=1)
    jacobian = np.zeros((len(rays), 2, 6))
    jacobian[:, 0, 0] = jacobian[:, 1, 1] = inverse_depth
    jacobian[:, 0, 2], jacobian[:, 1, 2] = -u * inverse_depth, -v * inverse_depth
    jacobian[:, 0, 3:] = np.stack([-u * v, 1 + u * u, -v], axis=1)
    jacobian[:, 1, 3:] = np.stack([-1 - v * v, u * v, u], axis=1)
    moved = spreads @ pose[:3, :3].T
    smear = np.stack([moved[:, 0] - u * moved[:, 2], moved[:, 1] - v * moved[:, 2]], axis=1)
    smear *= inverse_depth[:, None]
    return (
        residuals / sigmas[:, None],
        jacobian / sigmas[:, None, None],
        smear / sigmas[:, None],
        valid,
    )


def _whitened(
    residuals: np.ndarray, jacobian: np.ndarray, smear: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals and derivatives times the root of the inverse of their covariance, which is
    I + smear smear^T: the identity but along the smear.
    """
    length = np.sqrt((smear**2).sum(axis=1))
    along = smear / np.maximum(length, 1e-12)[:, None]
    less = (1 - 1 / np.sqrt(1 + length**2))[:, None] * along
    residuals = residuals - less * (along * residuals).sum(axis=1, keepdims=True)
    product = along[:, 0, None] * jacobian[:, 0] + along[:, 1, None] * jacobian[:, 1]
    return residuals, jacobian - less[:, :, None] * product[:, None]
