# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keypoint geometry as the network takes it."""

from __future__ import annotations

import numpy as np

from ..camera import check_camera_matrix
from .types import Features


def normalize_keypoints(
    features: Features, image_shape: tuple[int, ...], camera_matrix: np.ndarray | None = None
) -> np.ndarray:
    """Normalize keypoint geometry for the network (section 3.1 of arXiv 2211.15069).

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
        ValueError: the image shape or the intrinsics are not positive and finite, or keypoints lie
            outside the image.
    """
    height, width = _height_and_width(features.keypoints, image_shape)
    if camera_matrix is None:
        matrix = assumed_camera_matrix((height, width))
    else:
        matrix = np.asarray(camera_matrix, np.float64)
        check_camera_matrix(matrix)
    center, focal = matrix[:2, 2], matrix[[0, 1], [0, 1]]
    geometry = np.empty((len(features), 4), np.float32)
    geometry[:, :2] = (features.keypoints - center) / focal
    geometry[:, 2] = features.scales
    geometry[:, 3] = features.angles
    return geometry


def _height_and_width(keypoints: np.ndarray, image_shape: tuple[int, ...]) -> tuple[float, float]:
    """Return height and width [px]; ValueError unless the keypoints (N, 2) lie in the image."""
    if np.ndim(image_shape) != 1 or len(image_shape) not in (2, 3):
        given = f"{image_shape!r}" if np.ndim(image_shape) < 2 else "an image"
        raise ValueError(f"image_shape must be (height, width), not {given}: pass image.shape")
    height, width = image_shape[:2]
    if not (0 < height < np.inf and 0 < width < np.inf):
        raise ValueError(
            f"image_shape must be (height, width) in pixels, both above 0, not {tuple(image_shape)}"
        )
    right, bottom = keypoints.max(axis=0, initial=0)
    if right > width or bottom > height:
        is_swapped = right <= height and bottom <= width
        raise ValueError(
            f"keypoints up to ({right:.0f}, {bottom:.0f}) lie outside of image_shape "
            f"{tuple(image_shape)}, which is (height, width): "
            + (
                "it seems to be (width, height), so pass image.shape"
                if is_swapped
                else "pass the shape of the image that they were found in"
            )
        )
    return height, width


def assumed_camera_matrix(image_shape: tuple[float, ...]) -> np.ndarray:
    """Return the intrinsics (3, 3) assumed for an image of (height, width, ...) pixels."""
    height, width = image_shape[:2]
    focal = 0.7 * max(width, height)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
