# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pose of a camera that observes known landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import poselib

from .rigid import camera_center, make_transform, rotation_matrix, transform_points

_MAX_RESIDUAL = 2.5
"""Largest residual of an inlier [sigmas]; 95.6 % of a two-dimensional Gaussian lie within."""
_MAX_ITERATIONS = 8
"""Gauss-Newton steps of a refinement at most."""
_MIN_STEP = 0.02
"""Step [standard deviations of the pose] below which the refinement ends."""
_MAX_SLIDE = 3.0
"""Largest slide of a point along its line of sight [spreads]."""
_MAX_APPROACH = 0.8
"""Largest slide of a point towards the camera, as a share of its distance."""


@dataclass(frozen=True, eq=False)
class AbsolutePose:
    """A pose from M landmarks.

    Attributes:
        pose: (4, 4), world to camera.
        inliers: (M,) bool.
        information: (6, 6), inverse covariance of the camera's translation and rotation in the
            camera's axes, from the inliers and their sigmas.
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
    inverse_depths: np.ndarray | None = None,
    inverse_depth_sigmas: np.ndarray | None = None,
) -> AbsolutePose | None:
    """Estimate a pose by poselib's LO-RANSAC, then refine it (:func:`refine_pose`).

    Args:
        rays: (M, 2) at depth 1.
        sigmas: (M,) of the rays.
        points: (M, 3) in the world.
        spreads: (M, 3), one standard deviation of each point along its line of sight.
        focal_length: converts the threshold to the unit of the rays [px].
        threshold: largest reprojection error of an inlier of RANSAC [px].
        seed: of RANSAC.
        inverse_depths: (M,) as of :func:`refine_pose`, or None.
        inverse_depth_sigmas: (M,) of the inverse depths, or None.

    Returns:
        The pose, or None where the points give none.
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
    pose = make_transform(found.R, found.t)
    return refine_pose(pose, rays, sigmas, points, spreads, inverse_depths, inverse_depth_sigmas)


def refine_pose(
    pose: np.ndarray,
    rays: np.ndarray,
    sigmas: np.ndarray,
    points: np.ndarray,
    spreads: np.ndarray,
    inverse_depths: np.ndarray | None = None,
    inverse_depth_sigmas: np.ndarray | None = None,
) -> AbsolutePose:
    """Refine a pose by Gauss-Newton on its reprojection errors in sigmas, under Cauchy's loss.

    The depth of a point is far less certain than its direction, and seen from aside a wrong depth
    is a wrong pixel. So each point may slide along its spread at the cost of a residual, and is
    eliminated (Triggs et al., 2000, section 6.1): points of uncertain depth still constrain the
    rotation. A lower weight without the slide would make each step of the camera too short, as
    errors in the regressor bias a regression towards zero.

    poselib's refinement takes no weight for each point and gives no covariance.

    A measured depth adds a residual, given the reprojection error: the covariance of both, due to
    the slide, is factored in this order. It has a loss of its own, as a pixel at an object's edge
    may have the depth of the background, and decides on no inlier.

    Args:
        pose: (4, 4) to start from, world to camera.
        rays: (M, 2) at depth 1.
        sigmas: (M,) of the rays.
        points: (M, 3) in the world.
        spreads: (M, 3), one standard deviation of each point along its line of sight.
        inverse_depths: (M,) measured in this frame, NaN where unknown; None without any.
        inverse_depth_sigmas: (M,) of the inverse depths, or None.
    """
    slide = np.zeros(len(points))
    least, most = _slide_limits(pose, points, spreads)
    for _ in range(_MAX_ITERATIONS):
        residuals, jacobian, smear, valid = _linearize(
            pose, rays, sigmas, points + slide[:, None] * spreads, spreads
        )
        # The residual of the point where it was before it slid.
        residuals -= smear * slide[:, None]
        white, white_jacobian = _whiten(residuals, jacobian, smear)
        squared = (white**2).sum(axis=1)
        weights = valid / (1 + squared / _MAX_RESIDUAL**2)
        rows = white_jacobian.reshape(-1, 6)
        weighted = rows * np.repeat(weights, 2)[:, None]
        hessian, gradient = weighted.T @ rows, weighted.T @ white.ravel()
        depth = None
        if inverse_depths is not None and inverse_depth_sigmas is not None:
            depth = _linearize_depth(
                pose, inverse_depths, inverse_depth_sigmas, points, slide, spreads
            )
            white_depth, white_rows = depth.given_rays(residuals, jacobian, smear)
            depth_weights = weights * depth.known / (1 + white_depth**2 / _MAX_RESIDUAL**2)
            weighted = white_rows * depth_weights[:, None]
            hessian, gradient = (
                hessian + weighted.T @ white_rows,
                gradient + weighted.T @ white_depth,
            )
        damping = 1e-9 * np.trace(hessian)
        if not damping > 0:  # no point in front of the camera
            break
        step = -np.linalg.solve(hessian + damping * np.eye(6), gradient)
        pose = make_transform(rotation_matrix(step[3:]), step[:3]) @ pose
        residuals += jacobian @ step
        along, length = (smear * residuals).sum(axis=1), 1 + (smear**2).sum(axis=1)
        if depth is not None:
            along += depth_weights * depth.smear * (depth.residuals + depth.jacobian @ step)
            length += depth_weights * depth.smear**2
        slide = np.clip(-along / length, least, most)
        if step @ hessian @ step < _MIN_STEP**2:
            break
    residuals, jacobian, smear, valid = _linearize(
        pose, rays, sigmas, points + slide[:, None] * spreads, spreads
    )
    residuals -= smear * slide[:, None]
    white, white_jacobian = _whiten(residuals, jacobian, smear)
    inliers = valid & (np.linalg.norm(white, axis=1) < _MAX_RESIDUAL)
    rows = white_jacobian[inliers].reshape(-1, 6)
    information = rows.T @ rows
    if inverse_depths is not None and inverse_depth_sigmas is not None:
        depth = _linearize_depth(pose, inverse_depths, inverse_depth_sigmas, points, slide, spreads)
        white_depth, white_rows = depth.given_rays(residuals, jacobian, smear)
        rows = white_rows[inliers & depth.known & (np.abs(white_depth) < _MAX_RESIDUAL)]
        information = information + rows.T @ rows
    return AbsolutePose(pose, inliers, information)


def world_covariance(found: AbsolutePose) -> np.ndarray:
    """Return the covariance (6, 6) of the camera's position and rotation in the world's axes."""
    covariance = np.linalg.pinv(found.information, hermitian=True)
    turn = np.zeros((6, 6))
    # The parameters are of a motion in the camera's frame, T' = exp(x) T: the opposite direction.
    turn[:3, :3] = turn[3:, 3:] = -found.pose[:3, :3].T
    return turn @ covariance @ turn.T


@dataclass(frozen=True, eq=False)
class _DepthErrors:
    """Errors of the inverse depths of M points that are where they were before they slid.

    Attributes:
        residuals: (M,) in sigmas; 0 where the depth is unknown, as all others.
        jacobian: (M, 6), derivatives by the pose.
        smear: (M,), derivatives by the slide of the point.
        known: (M,) bool, whether the depth is known and the point in front of the camera.
    """

    residuals: np.ndarray
    jacobian: np.ndarray
    smear: np.ndarray
    known: np.ndarray

    def given_rays(
        self, residuals: np.ndarray, jacobian: np.ndarray, smear: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return errors (M,) and derivatives (M, 6) less what the reprojection errors explain.

        They are divided by the standard deviation that remains, as the slide is known in part.

        Args:
            residuals: (M, 2), the reprojection errors of the points.
            jacobian: (M, 2, 6), their derivatives by the pose.
            smear: (M, 2), their derivatives by the slide.
        """
        length = 1 + (smear**2).sum(axis=1)
        gain = (self.smear / length)[:, None] * smear
        deviation = np.sqrt(1 + self.smear**2 / length)
        explained = gain[:, :1] * jacobian[:, 0] + gain[:, 1:] * jacobian[:, 1]
        return (
            (self.residuals - (gain * residuals).sum(axis=1)) / deviation,
            (self.jacobian - explained) / deviation[:, None],
        )


def _linearize_depth(
    pose: np.ndarray,
    inverse_depths: np.ndarray,
    sigmas: np.ndarray,
    points: np.ndarray,
    slide: np.ndarray,
    spreads: np.ndarray,
) -> _DepthErrors:
    """Linearize the errors of measured inverse depths at the points that slid."""
    seen = transform_points(pose, points + slide[:, None] * spreads)
    known = np.isfinite(inverse_depths) & (seen[:, 2] > 1e-6)
    inverse_depth = np.where(known, 1 / np.where(known, seen[:, 2], 1.0), 0.0)
    sigmas = np.where(known, sigmas, 1.0)
    residuals = np.where(known, inverse_depth - inverse_depths, 0.0) / sigmas
    by_depth = -(inverse_depth**2) / sigmas
    jacobian = np.zeros((len(points), 6))
    jacobian[:, 2] = by_depth
    jacobian[:, 3], jacobian[:, 4] = by_depth * seen[:, 1], -by_depth * seen[:, 0]
    smear = by_depth * (spreads @ pose[2, :3])
    return _DepthErrors(residuals - smear * slide, jacobian, smear, known)


def _slide_limits(
    pose: np.ndarray, points: np.ndarray, spreads: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest slide of each point, (M,) and (M,) [spreads]."""
    length = np.maximum(np.linalg.norm(spreads, axis=1), 1e-12)
    distance = np.linalg.norm(points - camera_center(pose), axis=1)
    nearer = np.minimum(_MAX_SLIDE, _MAX_APPROACH * distance / length)
    return -nearer, np.full(len(points), _MAX_SLIDE)


def _linearize(
    pose: np.ndarray,
    rays: np.ndarray,
    sigmas: np.ndarray,
    points: np.ndarray,
    spreads: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Linearize the reprojection errors.

    Returns:
        Residuals (M, 2) in sigmas, their derivatives by the pose (M, 2, 6) and by the slide of the
        point (M, 2), and which points (M,) lie in front of the camera.
    """
    seen = transform_points(pose, points)
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


def _whiten(
    residuals: np.ndarray, jacobian: np.ndarray, smear: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return residuals and derivatives times the inverse root of the residuals' covariance.

    The covariance is I + smear smear^T: the identity except along the smear.
    """
    length = np.sqrt((smear**2).sum(axis=1))
    along = smear / np.maximum(length, 1e-12)[:, None]
    less = (1 - 1 / np.sqrt(1 + length**2))[:, None] * along
    residuals = residuals - less * (along * residuals).sum(axis=1, keepdims=True)
    product = along[:, 0, None] * jacobian[:, 0] + along[:, 1, None] * jacobian[:, 1]
    return residuals, jacobian - less[:, :, None] * product[:, None]
