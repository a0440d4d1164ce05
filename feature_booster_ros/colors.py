# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Colors for points in space."""

from __future__ import annotations

import cv2
import numpy as np

_PERCENTILES = (2.0, 98.0)
"""Heights that get the first and the last color; the few beyond do not use up the range."""
_COLORS = (25.0, 230.0)
"""Part of the color map's 256 entries that is used; its ends are too dark on a dark background."""


def color_by_height(heights: np.ndarray) -> np.ndarray:
    """Return colors (N, 3) uint8 RGB of heights (N,), blue for low to red for high (Turbo)."""
    if len(heights) == 0:
        return np.zeros((0, 3), np.uint8)
    low, high = np.percentile(heights, _PERCENTILES)
    places = np.interp(heights, (low, max(high, low + 1e-9)), _COLORS).astype(np.uint8)
    bgr = cv2.applyColorMap(places, cv2.COLORMAP_TURBO)
    return np.ascontiguousarray(bgr.reshape(-1, 3)[:, ::-1])
