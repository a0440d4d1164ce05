# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIFT by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np

from .keypoints import keypoint_arrays, unit_rows
from .types import Features


class OpencvSift:
    """Detect and describe SIFT features of an image, starting at double its size.

    Args:
        octave_layers: Scales that an octave is divided into.
        contrast_threshold: Lowest contrast of a keypoint.
        edge_threshold: Largest ratio of principal curvatures.
        sigma: Blur of the first scale [px of the doubled image].
    """

    def __init__(
        self, octave_layers: int, contrast_threshold: float, edge_threshold: float, sigma: float
    ) -> None:
        self.images_per_octave = (octave_layers + 3) + (octave_layers + 2)
        """Float images that are in memory, blurred ones and their differences."""
        self._options = octave_layers, contrast_threshold, edge_threshold, sigma
        self._offset = 0.0 if _has_precise_upscale() else -0.25
        self._detectors: dict[int, cv2.SIFT] = {}

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, limit: int) -> Features:
        """Return the ``limit`` features of highest contrast, in any order, and equal ones.

        Args:
            image: (H, W) uint8, contiguous.
            mask: (H, W) uint8, 0 where no features are wanted, or None; it takes effect last.
            limit: Number of features.
        """
        keypoints, raw = self._detector(limit).detectAndCompute(image, mask)
        if not keypoints:
            return Features.empty(128, False)
        points, sizes, angles, scores = keypoint_arrays(keypoints)
        return Features(
            points + np.float32(self._offset), sizes / np.float32(2), angles, scores, unit_rows(raw)
        )

    def _detector(self, limit: int) -> cv2.SIFT:
        if limit not in self._detectors:
            precise = (True,) if _has_precise_upscale() else ()
            detector = cv2.SIFT_create(limit, *self._options, *precise)  # type: ignore[attr-defined]
            self._detectors = {limit: detector}
        return self._detectors[limit]


def _has_precise_upscale() -> bool:
    """Return whether OpenCV (4.8 and up) doubles the image without a shift by a quarter pixel.

    Before, keypoints were 0.25 pixels too far right and down, which would bias the rays and is
    corrected here.
    """
    return tuple(int(part) for part in cv2.__version__.split(".")[:2]) >= (4, 8)
