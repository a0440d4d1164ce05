# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Height of the camera above the ground in view."""

from __future__ import annotations

import numpy as np

_MIN_VERTICAL_COSINE = np.cos(np.radians(5.0))
"""Least cosine of the angle between the plane's normal and the camera's vertical (5 degrees)."""
_MIN_POINTS = 20
"""Least number of points of a plane."""
_MAX_PLANE_DISTANCE = 0.03
"""Largest distance of a point from its plane, as a share of the height."""
_SAMPLES = 200
"""Planes through three points that RANSAC tries."""


def camera_height(points: np.ndarray, seed: int = 0) -> float | None:
    """Return the height above a plane through points below the camera, None without such a plane.

    RANSAC over planes that are level for a camera that looks ahead; the one with the most points is
    the ground.

    Args:
        points: (M, 3) in the camera's optical frame (y down), in the unit of the height.
        seed: of the samples.
    """
    below = points[(points[:, 1] > 0) & (points[:, 2] > 0)]
    # Points near the horizon say little of the height.
    below = below[below[:, 1] > 0.05 * below[:, 2]]
    if len(below) < _MIN_POINTS:
        return None
    rng = np.random.default_rng(seed)
    chosen = below[rng.integers(0, len(below), (_SAMPLES, 3))]
    normals = np.cross(chosen[:, 1] - chosen[:, 0], chosen[:, 2] - chosen[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    usable = lengths > 1e-12
    normals = normals[usable] / lengths[usable, None]
    normals *= np.where(normals[:, 1:2] < 0, -1, 1)
    heights = np.einsum("ij,ij->i", normals, chosen[usable, 0])
    level = (normals[:, 1] > _MIN_VERTICAL_COSINE) & (heights > 0)
    normals, heights = normals[level], heights[level]
    if len(heights) == 0:
        return None
    away = np.abs(below @ normals.T - heights)
    support = (away < _MAX_PLANE_DISTANCE * heights).sum(axis=0)
    best = int(support.argmax())
    if support[best] < _MIN_POINTS:
        return None
    on_plane = below[away[:, best] < _MAX_PLANE_DISTANCE * heights[best]]
    center = on_plane.mean(axis=0)
    normal = np.linalg.svd(on_plane - center, full_matrices=False)[2][-1]
    normal *= 1 if normal[1] > 0 else -1
    return float(normal @ center) if normal[1] > _MIN_VERTICAL_COSINE else None
