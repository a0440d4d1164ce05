# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What two cameras' views of the same points have to do with each other."""

from __future__ import annotations

import numpy as np
import poselib

from .rigid import rigid

_SHALLOWEST = 0.1
"""Least z of a ray of length about 1 that another camera is thought to see."""


def epipolar_segments(
    rays: np.ndarray, motion: np.ndarray, least_depth: float
) -> tuple[np.ndarray, np.ndarray]:
    """The parts of the epipolar lines on which points of one camera's rays lie in another's image.

    Args:
        rays: (N, 2) at depth 1.
        motion: (4, 4), the rays' camera to the other.
        least_depth: of the points, in the rays' camera.

    Returns:
        (N, 2) and (N, 2) at depth 1 of the other camera: where it sees points that are infinitely
        far, and those at the least depth, or as near as they can come while in front of it.
    """
    turned = np.hstack([rays, np.ones((len(rays), 1))]) @ motion[:3, :3].T
    shift = motion[:3, 3] / least_depth
    # What would pass behind the other camera is cut off well before.
    depth = np.maximum(turned[:, 2], _SHALLOWEST)
    share = np.ones(len(rays))
    crossing = depth + shift[2] < _SHALLOWEST
    share[crossing] = np.maximum(depth[crossing] - _SHALLOWEST, 0) / -shift[2]
    near = turned + share[:, None] * shift
    return turned[:, :2] / depth[:, None], near[:, :2] / np.maximum(near[:, 2:], _SHALLOWEST)


def relative_pose(
    rays_a: np.ndarray, rays_b: np.ndarray, focal_length: float, threshold: float, seed: int
) -> tuple[np.ndarray | None, int]:
    """The motion between two cameras, by poselib's five-point LO-RANSAC.

    Args:
        rays_a, rays_b: (M, 2) at depth 1, pairs.
        focal_length: in pixels, that ``threshold`` is to be understood with.
        threshold: of RANSAC, in pixels.
        seed: of RANSAC.

    Returns:
        (4, 4) from the first camera to the second, with a translation of unit length, or None if
        there is none, and how many pairs agree.
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
    return rigid(pose.R, np.asarray(pose.t) / length), int(report["num_inliers"])
