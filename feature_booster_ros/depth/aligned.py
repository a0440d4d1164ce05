# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depths of keypoints from a depth image that is aligned to the image."""

from __future__ import annotations

import numpy as np

# Pixels around a keypoint's that are read: 5 x 5. A single one may be a hole, or a flying pixel
# between two surfaces.
_RADIUS = 2
# Share of them that must have a depth.
_MIN_KNOWN = 0.5
# Largest difference between the nearest and the farthest of them, a tenth at either end left out,
# as a share of the depth. A floor seen at 85 degrees stays below; more are two surfaces, of which
# the keypoint may be on either.
_MAX_SPREAD = 0.1


def read_depths(
    depth: np.ndarray,
    keypoints: np.ndarray,
    noise: float = 0.001,
    noise_growth: float = 0.0025,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the depths of keypoints, each the median of the pixels around it.

    A depth is unknown where less than half of these pixels have one, and across the edge of an
    object.

    Args:
        depth: (H, W) float32 in meters, NaN where unknown, of the pixels that the keypoints are in.
        keypoints: (N, 2) in pixels.
        noise: Standard deviation of the sensor at no distance [m].
        noise_growth: What it grows by with the squared depth [1/m], as that of structured light and
            stereo does (Khoshelham and Elberink, Sensors 2012).

    Returns:
        (N,) float32 depths and (N,) float32 standard deviations in meters, NaN where unknown. The
        standard deviation is that of the sensor and half the quartile distance of the pixels.
    """
    height, width = depth.shape
    window: np.ndarray = np.arange(-_RADIUS, _RADIUS + 1)
    columns, rows = np.rint(keypoints).astype(np.intp).T
    y = (rows[:, None] + np.repeat(window, len(window))).clip(0, height - 1)
    x = (columns[:, None] + np.tile(window, len(window))).clip(0, width - 1)
    values = np.sort(depth[y, x], axis=1)  # NaN last
    known = np.isfinite(values).sum(axis=1)

    def quantile(share: float) -> np.ndarray:
        place = np.rint(share * (known - 1)).astype(np.intp).clip(0)
        return values[np.arange(len(values)), place]

    depths = quantile(0.5)
    spread = (quantile(0.75) - quantile(0.25)) / 2
    sigmas = np.hypot(noise + noise_growth * depths**2, spread)
    is_unknown = known < _MIN_KNOWN * values.shape[1]
    with np.errstate(invalid="ignore"):
        is_unknown |= quantile(0.9) - quantile(0.1) > _MAX_SPREAD * depths
    depths[is_unknown] = np.nan
    sigmas[is_unknown] = np.nan
    return depths.astype(np.float32), sigmas.astype(np.float32)
