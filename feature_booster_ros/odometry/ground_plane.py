# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How high the camera is above the ground that it sees."""

from __future__ import annotations

import numpy as np

_STEEPEST = np.cos(np.radians(5.0))
"""The ground's normal is this near the camera's vertical, or it is not the ground."""
_MINIMUM_POINTS = 20
_THICKNESS = 0.03
"""Points this share of the height off the plane belong to it."""
_SAMPLES = 200


def camera_height(points: np.ndarray, seed: int = 0) -> float | None:
    """Height above a plane through landmarks below the camera, or None if there is no such plane.

    RANSAC over planes that are level for a camera that looks ahead: of those, the lowest well
    supported one is the ground.

    Args:
        points: (M, 3) in the camera's optical frame (y down), in any unit, that of the height.
        seed: of the samples.
    """
    below = points[(points[:, 1] > 0) & (points[:, 2] > 0)]
    # Straight ahead everything has little height: the ground is seen under an angle.
    below = below[below[:, 1] > 0.05 * below[:, 2]]
    if len(below) < _MINIMUM_POINTS:
        return None
    rng = np.random.default_rng(seed)
    chosen = below[rng.integers(0, len(below), (_SAMPLES, 3))]
    normals = np.cross(chosen[:, 1] - chosen[:, 0], chosen[:, 2] - chosen[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    usable = lengths > 1e-12
    normals = normals[usable] / lengths[usable, None]
    normals *= np.where(normals[:, 1:2] < 0, -1, 1)
    heights = np.einsum("ij,ij->i", normals, chosen[usable, 0])
    level = (normals[:, 1] > _STEEPEST) & (heights > 0)
    normals, heights = normals[level], heights[level]
    if len(heights) == 0:
        return None
    away = np.abs(below @ normals.T - heights)
    support = (away < _THICKNESS * heights).sum(axis=0)
    best = int(support.argmax())
    if support[best] < _MINIMUM_POINTS:
        return None
    on_plane = below[away[:, best] < _THICKNESS * heights[best]]
    center = on_plane.mean(axis=0)
    normal = np.linalg.svd(on_plane - center, full_matrices=False)[2][-1]
    normal *= 1 if normal[1] > 0 else -1
    return float(normal @ center) if normal[1] > _STEEPEST else None
