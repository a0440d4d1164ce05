# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Epipolar geometry of two cameras, on rays."""

from __future__ import annotations

import numpy as np
import poselib

from .rigid import make_transform

_MIN_DEPTH = 0.1
"""Least depth in the other camera of a point on a ray of length 1; segments are cut there."""


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
