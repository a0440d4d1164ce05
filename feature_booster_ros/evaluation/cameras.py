# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Intrinsics after what is done to an image: shrunk, turned."""

from __future__ import annotations

import numpy as np


def resized_matrix(matrix: np.ndarray, ratio: float) -> np.ndarray:
    """Intrinsics (3, 3) of an image resized by a ratio, pixel centers at whole numbers."""
    resize = np.array([[ratio, 0, (ratio - 1) / 2], [0, ratio, (ratio - 1) / 2], [0, 0, 1]])
    return resize @ matrix


def turned_matrix(matrix: np.ndarray, image_shape: tuple[int, ...], turns: int) -> np.ndarray:
    """Intrinsics (3, 3) of an image after quarter turns against the clock, as by ``np.rot90``.

    Args:
        matrix: of the image before, without skew.
        image_shape: (height, width, ...) of it.
        turns: 0 or more.
    """
    height, width = image_shape[:2]
    for _ in range(turns % 4):
        # Pixel (x, y) comes to (y, width - 1 - x).
        (fx, _, cx), (_, fy, cy) = matrix[:2]
        matrix = np.array([[fy, 0, cy], [0, fx, width - 1 - cx], [0, 0, 1.0]])
        height, width = width, height
    return matrix


def turn_about_axis(turns: int) -> np.ndarray:
    """(4, 4) that takes points of a camera to the one whose image is the same after quarter turns
    against the clock.
    """
    quarter = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    return np.linalg.matrix_power(quarter, turns % 4)
