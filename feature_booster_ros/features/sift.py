# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIFT (Lowe, IJCV 2004), by this package's C++ or by OpenCV."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from .extractor import Extractor, check_range
from .sift_native import NativeSift
from .sift_opencv import OpencvSift
from .types import Features

# Sigma of the camera's blur that OpenCV assumes [px].
CAMERA_SIGMA = 0.5

SIFT_UNIT = 512.0
"""Length of the descriptors of OpenCV's and COLMAP's SIFT, which are integers up to 255."""


class SiftExtractor(Extractor):
    """SIFT features, 128 floats of unit length each.

    They are OpenCV's, within rounding, computed by ``sift.cpp``, or by OpenCV itself where that is
    not built.

    Args:
        max_features: the largest number of features to return.
        grid: (rows, columns) to spread the features over, or None.
        contrast_threshold: lowest contrast of a keypoint, as OpenCV's contrastThreshold; less finds
            more.
        edge_threshold: largest ratio of principal curvatures, as OpenCV's edgeThreshold; more finds
            more.
        octave_layers: scales an octave is divided into.
        sigma: blur of the first scale, in its pixels.
        first_octave: -1 starts on the image at double size, as Lowe does; 0 starts on the image
            itself, which finds fewer small features in a fraction of the time.

    Raises:
        ValueError: an option is out of its range; the message names it.
    """

    name = "sift"
    bytes_per_unit = SIFT_UNIT
    descriptor_length = 128
    is_binary = False

    def __init__(
        self,
        max_features: int = 2048,
        grid: tuple[int, int] | None = None,
        *,
        contrast_threshold: float = 0.04,
        edge_threshold: float = 10.0,
        octave_layers: int = 3,
        sigma: float = 1.6,
        first_octave: int = -1,
    ) -> None:
        super().__init__(max_features, grid)
        check_range("contrast_threshold", contrast_threshold, 0.0, 1.0)
        check_range("edge_threshold", edge_threshold, 1.0, None)
        check_range("octave_layers", octave_layers, 1, 16)
        check_range("sigma", sigma, 1.1, 10.0)
        check_range("first_octave", first_octave, -1, 0)
        self.first_octave = int(first_octave)
        self.implementation, self._sift = _create_sift(
            int(octave_layers), float(contrast_threshold), float(edge_threshold), float(sigma)
        )
        # All octaves take a third more than the first, which with -1 has four times the image's
        # pixels. Measured: within 1 %.
        octaves = 4 / 3 * (4 if first_octave == -1 else 1)
        self.bytes_per_pixel = 4 * self._sift.images_per_octave * octaves

    def _extract(self, image: np.ndarray, mask: np.ndarray | None, limit: int) -> Features:
        if self.first_octave == -1:
            return self._sift(image, mask, limit)
        return self._extract_from_half(image, mask, limit)

    def _extract_from_half(
        self, image: np.ndarray, mask: np.ndarray | None, limit: int
    ) -> Features:
        """Extract from octave 0 on.

        OpenCV cannot leave out octave -1, so the image is halved before it is doubled. Octave 0
        loses nothing: halving needs a blur to twice the camera's sigma, which is less than the
        sigma of the first scale.
        """
        if min(image.shape) < 4:
            return Features.empty(self.descriptor_length, self.is_binary)
        blur = np.sqrt((2 * CAMERA_SIGMA) ** 2 - CAMERA_SIGMA**2)
        half = np.ascontiguousarray(cv2.GaussianBlur(image, (0, 0), blur)[::2, ::2])
        half_mask = None if mask is None else np.ascontiguousarray(mask[::2, ::2])
        features = self._sift(half, half_mask, limit)
        return dataclasses.replace(
            features, keypoints=features.keypoints * 2, scales=features.scales * 2
        )


def _create_sift(
    octave_layers: int, contrast_threshold: float, edge_threshold: float, sigma: float
) -> tuple[str, NativeSift | OpencvSift]:
    """Return the faster implementation that there is, and its name."""
    options = octave_layers, contrast_threshold, edge_threshold, sigma
    try:
        return "sift.cpp", NativeSift(*options)
    except OSError as error:
        return f"OpenCV, about 2.5 times slower than sift.cpp ({error})", OpencvSift(*options)
