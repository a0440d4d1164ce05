# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keypoint geometry as the booster takes it."""

from __future__ import annotations

import numpy as np

from ..camera import check_camera_matrix
from .types import Features


def normalize_keypoints(
    features: Features, image_shape: tuple[int, ...], camera_matrix: np.ndarray | None = None
) -> np.ndarray:
    """Normalised keypoint geometry, the network's second input (section 3.1 of arXiv 2211.15069).

    Without intrinsics the position is ``((x - w/2) / s, (y - h/2) / s)`` with
    ``s = 0.7 max(w, h)``, a guess of the focal length; with them it is the ray,
    ``((x - cx) / fx, (y - cy) / fy)``.

    Args:
        features: N features.
        image_shape: (height, width, ...) of the image in pixels.
        camera_matrix: (3, 3) intrinsics, or None.

    Returns:
        (N, 4) float32: x, y, scale, angle in radians.

    Raises:
        ValueError: the image shape or the intrinsics are not positive and finite.
    """
    height, width = image_shape[:2]
    if height <= 0 or width <= 0:
        raise ValueError(
            f"image_shape must be (height, width) in pixels, both above 0, not {tuple(image_shape)}"
        )
    if camera_matrix is None:
        matrix = assumed_camera_matrix((height, width))
    else:
        matrix = np.asarray(camera_matrix, np.float64)
        check_camera_matrix(matrix)
    centre, focal = matrix[:2, 2], matrix[[0, 1], [0, 1]]
    geometry = np.empty((len(features), 4), np.float32)
    geometry[:, :2] = (features.keypoints - centre) / focal
    geometry[:, 2] = features.scales
    geometry[:, 3] = features.angles
    return geometry


def assumed_camera_matrix(image_shape: tuple[int, ...]) -> np.ndarray:
    """The intrinsics (3, 3) that an image of (height, width, ...) pixels is taken to have."""
    height, width = image_shape[:2]
    focal = 0.7 * max(width, height)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
