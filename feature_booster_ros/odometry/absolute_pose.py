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
    focal_length: float,
    threshold: float,
    seed: int = 0,
) -> AbsolutePose | None:
    """Pose by poselib's LO-RANSAC, then refined with each ray's own sigma; None if there is none.

    Args:
        rays: (M, 2) at depth 1.
        sigmas: (M,) of the rays.
        points: (M, 3) in the world.
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
    return refine_pose(rigid(found.R, found.t), rays, sigmas, points)


def refine_pose(
    pose: np.ndarray, rays: np.ndarray, sigmas: np.ndarray, points: np.ndarray
) -> AbsolutePose:
    """The pose of least squared residuals in sigmas, under Cauchy's robust loss, from ``pose``
    (4, 4) on: Gauss-Newton on the six parameters of a motion on the camera's side.

    Own code, since poselib's refinement takes no weight for each point and gives no covariance.
    """
    for _ in range(_ITERATIONS):
        residuals, jacobian, valid = _linearised(pose, rays, sigmas, points)
        squared = (residuals**2).sum(axis=1)
        weights = valid / (1 + squared / _INLIER**2)
        rows = jacobian.reshape(-1, 6)
        weighted = rows * np.repeat(weights, 2)[:, None]
        hessian, gradient = weighted.T @ rows, weighted.T @ residuals.ravel()
        step = -np.linalg.solve(hessian + 1e-9 * np.trace(hessian) * np.eye(6), gradient)
        pose = rigid(rotation_of(step[3:]), step[:3]) @ pose
        if np.abs(step).max() < 1e-7:
            break
    residuals, jacobian, valid = _linearised(pose, rays, sigmas, points)
    inliers = valid & (np.linalg.norm(residuals, axis=1) < _INLIER)
    rows = jacobian[inliers].reshape(-1, 6)
    return AbsolutePose(pose, inliers, rows.T @ rows)


def world_covariance(found: AbsolutePose) -> np.ndarray:
    """(6, 6) of the camera's position and of its rotation, in the world's axes."""
    covariance = np.linalg.pinv(found.information, hermitian=True)
    turn = np.zeros((6, 6))
    # A motion on the camera's side moves the camera the other way (T' = exp(x) T).
    turn[:3, :3] = turn[3:, 3:] = -found.pose[:3, :3].T
    return turn @ covariance @ turn.T


def _linearised(
    pose: np.ndarray, rays: np.ndarray, sigmas: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals (M, 2) in sigmas, their derivatives (M, 2, 6), and which points lie in front."""
    seen = transformed(pose, points)
    valid = seen[:, 2] > 1e-6
    x, y = seen[:, 0], seen[:, 1]
    inverse_depth = 1 / np.where(valid, seen[:, 2], 1.0)
    u, v = x * inverse_depth, y * inverse_depth
    residuals = (np.stack([u, v], axis=1) - rays) / sigmas[:, None]
    jacobian = np.zeros((len(rays), 2, 6))
    jacobian[:, 0, 0] = jacobian[:, 1, 1] = inverse_depth
    jacobian[:, 0, 2], jacobian[:, 1, 2] = -u * inverse_depth, -v * inverse_depth
    jacobian[:, 0, 3:] = np.stack([-u * v, 1 + u * u, -v], axis=1)
    jacobian[:, 1, 3:] = np.stack([-1 - v * v, u * v, u], axis=1)
    return residuals, jacobian / sigmas[:, None, None], valid
