# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Epipolar geometry of two cameras, on rays."""

from __future__ import annotations

import numpy as np
import poselib

from .rigid import make_transform, rotation_matrix

_MIN_DEPTH = 0.1
"""Least depth in the other camera of a point on a ray of length 1; segments are cut there."""

_REFINEMENT_STEPS = 20
"""Gauss-Newton steps of a refinement of motions."""
_LOSS_WIDTH = 1.0
"""Width of Cauchy's loss of this refinement [sigmas]."""
_MAX_STEP = 0.3
"""Largest step of this refinement [rad]."""


def epipolar_segments(
    rays: np.ndarray, motion: np.ndarray, min_depth: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the segments of epipolar lines on which one camera's points lie in another's image.

    Args:
        rays: (N, 2) at depth 1.
        motion: (4, 4), from the camera of the rays to the other.
        min_depth: least depth of the points in the camera of the rays.

    Returns:
        Begins (N, 2) and ends (N, 2) at depth 1 of the other camera: the images of points at
        infinity, and of points at the least depth or as near as they are in front of it.
    """
    turned = np.hstack([rays, np.ones((len(rays), 1))]) @ motion[:3, :3].T
    shift = motion[:3, 3] / min_depth
    # A segment that would pass behind the other camera is cut off before.
    depth = np.maximum(turned[:, 2], _MIN_DEPTH)
    share = np.ones(len(rays))
    crossing = depth + shift[2] < _MIN_DEPTH
    share[crossing] = np.maximum(depth[crossing] - _MIN_DEPTH, 0) / -shift[2]
    near = turned + share[:, None] * shift
    return turned[:, :2] / depth[:, None], near[:, :2] / np.maximum(near[:, 2:], _MIN_DEPTH)


def estimate_motion(
    rays_a: np.ndarray, rays_b: np.ndarray, focal_length: float, threshold: float, seed: int
) -> tuple[np.ndarray | None, int]:
    """Estimate the motion between two cameras by poselib's five-point LO-RANSAC.

    Args:
        rays_a: (M, 2) at depth 1, of the first camera.
        rays_b: (M, 2) of the second, in pairs with the first.
        focal_length: converts the threshold to the unit of the rays [px].
        threshold: largest epipolar error of an inlier [px].
        seed: of RANSAC.

    Returns:
        The motion (4, 4) from the first camera to the second with a translation of unit length, or
        None where the pairs give none, and the number of inliers.
    """
    camera = {"model": "SIMPLE_PINHOLE", "width": 1, "height": 1, "params": [focal_length, 0, 0]}
    pose, report = poselib.estimate_relative_pose(
        rays_a * focal_length,
        rays_b * focal_length,
        camera,
        camera,
        {"max_epipolar_error": threshold, "max_iterations": 3000, "seed": seed},
        {},
    )
    length = np.linalg.norm(pose.t)
    if report["num_inliers"] < 6 or not np.isfinite(length) or length == 0:
        return None, 0
    return make_transform(pose.R, np.asarray(pose.t) / length), int(report["num_inliers"])


def refine_motions(
    motions: np.ndarray,
    rays_a: np.ndarray,
    rays_b: np.ndarray,
    sigmas_a: np.ndarray,
    sigmas_b: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Refine several motions by Gauss-Newton on the epipolar errors, under Cauchy's loss.

    The error is Sampson's, by each pair's sigmas (Hartley and Zisserman, 11.4.3).

    Args:
        motions: (S, 4, 4) to start from, from the first camera to the second, with translations of
            unit length.
        rays_a: (M, 2) at depth 1, of the first camera.
        rays_b: (M, 2) of the second, in pairs with the first.
        sigmas_a: (M,) standard deviations of the first rays.
        sigmas_b: (M,) of the second.

    Returns:
        The motions (S, 4, 4), and the cost (S,) of each: twice its negative log-likelihood.
    """
    ones = np.ones((len(rays_a), 1))
    a, b = np.hstack([rays_a, ones]), np.hstack([rays_b, ones])
    rotations, directions = motions[:, :3, :3].copy(), motions[:, :3, 3].copy()
    for _ in range(_REFINEMENT_STEPS):
        turned = a @ rotations.transpose(0, 2, 1)
        errors, lengths = _sampson_errors(rotations, directions, turned, b, sigmas_a, sigmas_b)
        weights = 1 / (1 + (errors / _LOSS_WIDTH) ** 2) ** 2
        # Two directions across the translation, along which it turns.
        across = np.linalg.svd(directions[:, None])[2][:, 1:]
        shift = directions[:, None]
        jacobian = np.concatenate(
            [np.cross(turned, np.cross(b, shift)), np.cross(turned, b) @ across.transpose(0, 2, 1)],
            axis=2,
        ) / lengths[:, :, None]  # fmt: skip
        weighted = (weights[:, :, None] * jacobian).transpose(0, 2, 1)
        hessians = weighted @ jacobian
        hessians += 1e-6 * np.trace(hessians, axis1=1, axis2=2)[:, None, None] * np.eye(5)
        steps = -np.linalg.solve(hessians, weighted @ errors[:, :, None])[:, :, 0]
        steps *= np.minimum(1, _MAX_STEP / np.linalg.norm(steps, axis=1, keepdims=True))
        rotations = np.stack(
            [rotation_matrix(step[:3]) @ each for step, each in zip(steps, rotations, strict=True)]
        )
        directions = directions + (steps[:, None, 3:] @ across)[:, 0]
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    turned = a @ rotations.transpose(0, 2, 1)
    errors, _ = _sampson_errors(rotations, directions, turned, b, sigmas_a, sigmas_b)
    refined = np.tile(np.eye(4), (len(motions), 1, 1))
    refined[:, :3, :3], refined[:, :3, 3] = rotations, directions
    return refined, (errors**2 / (1 + (errors / _LOSS_WIDTH) ** 2)).sum(axis=1)


def _sampson_errors(
    rotations: np.ndarray,
    directions: np.ndarray,
    turned: np.ndarray,
    b: np.ndarray,
    sigmas_a: np.ndarray,
    sigmas_b: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return Sampson's errors (S, M) in sigmas, and what the algebraic errors were divided by.

    Args:
        rotations: (S, 3, 3).
        directions: (S, 3) of the translations.
        turned: (S, M, 3) rays of the first camera, rotated.
        b: (M, 3) rays of the second.
        sigmas_a: (M,) of the first rays.
        sigmas_b: (M,) of the second.
    """
    lines_b = np.cross(directions[:, None], turned)
    lines_a = np.cross(b, directions[:, None]) @ rotations
    algebraic = (b * lines_b).sum(axis=2)
    variances = sigmas_b**2 * (lines_b[:, :, :2] ** 2).sum(axis=2)
    variances += sigmas_a**2 * (lines_a[:, :, :2] ** 2).sum(axis=2)
    lengths = np.sqrt(np.maximum(variances, 1e-24))
    return algebraic / lengths, lengths
