# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images as the extractors take them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def read_grey(path: Path) -> np.ndarray:
    """An image (H, W) uint8 at its own size; ValueError if it cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError(f"image {path} cannot be read")
    return image


def to_grey(image: np.ndarray) -> np.ndarray:
    """(H, W) of (H, W) or (H, W, 3) BGR pixels."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def shrink(image: np.ndarray, longest_side: int | None) -> tuple[np.ndarray, float]:
    """The image with at most that longest side in pixels, None for any, and the ratio to before."""
    ratio = 1.0 if longest_side is None else min(1.0, longest_side / max(image.shape))
    if ratio < 1:
        image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    return image, ratio
