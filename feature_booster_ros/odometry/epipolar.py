# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where another camera may see what a ray points at."""

from __future__ import annotations

import numpy as np

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
