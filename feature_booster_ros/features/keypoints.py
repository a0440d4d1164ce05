# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""OpenCV keypoints as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def keypoint_arrays(
    keypoints: Sequence[cv2.KeyPoint],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions (N, 2) and sizes (N,) in pixels, angles (N,) in radians in [0, 2 pi), responses
    (N,); float32.
    """
    rows = [
        (*keypoint.pt, keypoint.size, keypoint.angle, keypoint.response) for keypoint in keypoints
    ]
    table = np.array(rows, np.float32).reshape(-1, 5)
    angles = np.deg2rad(table[:, 3]) % np.float32(2 * np.pi)
    return table[:, :2].copy(), table[:, 2].copy(), angles, table[:, 4].copy()
