# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIFT (Lowe, IJCV 2004) by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np

from .extractor import Extractor, check_range
from .keypoints import keypoint_arrays
from .types import Features

# Sigma of the camera's blur that OpenCV assumes [px].
CAMERA_SIGMA = 0.5

SIFT_UNIT = 512.0
"""Length of the descriptors of OpenCV's and COLMAP's SIFT, which are integers up to 255."""


class SiftExtractor(Extractor):
    """SIFT features, 128 floats of unit length each.

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
        # Float images of an octave, blurred and their differences; all octaves take a third more
        # than the first, which with -1 has four times the image's pixels. Measured: within 1 %.
        scales = (octave_layers + 3) + (octave_layers + 2)
        self.bytes_per_pixel = 4 * scales * 4 / 3 * (4 if first_octave == -1 else 1)
        self._options = (
            int(octave_layers),
            float(contrast_threshold),
            float(edge_threshold),
            float(sigma),
        )
        self._detectors: dict[int, cv2.SIFT] = {}
        self._offset = 0.0 if _has_precise_upscale() else -0.25

    def _extract(self, image: np.ndarray, mask: np.ndarray | None, limit: int) -> Features:
        if self.first_octave == 0:
            return self._extract_from_half(image, mask, limit)
        return self._extract_opencv(image, mask, limit, 1.0)

    def _extract_from_half(
        self, image: np.ndarray, mask: np.ndarray | None, limit: int
    ) -> Features:
        """Extract from octave 0 on.

        OpenCV cannot leave out octave -1, so the image is halved before OpenCV doubles it. Octave 0
        loses nothing: halving needs a blur to twice the camera's sigma, which is less than the
        sigma of the first scale.
        """
        if min(image.shape) < 4:
            return Features.empty(self.descriptor_length, self.is_binary)
        blur = np.sqrt((2 * CAMERA_SIGMA) ** 2 - CAMERA_SIGMA**2)
        half = np.ascontiguousarray(cv2.GaussianBlur(image, (0, 0), blur)[::2, ::2])
        half_mask = None if mask is None else np.ascontiguousarray(mask[::2, ::2])
        return self._extract_opencv(half, half_mask, limit, 2.0)

    def _extract_opencv(
        self, image: np.ndarray, mask: np.ndarray | None, limit: int, step: float
    ) -> Features:
        """Extract from an image whose pixels are ``step`` pixels of the original apart."""
        keypoints, raw = self._detector(limit).detectAndCompute(image, mask)
        if not keypoints:
            return Features.empty(self.descriptor_length, self.is_binary)
        points, sizes, angles, scores = keypoint_arrays(keypoints)
        descriptors = np.asarray(raw, np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", descriptors, descriptors))[:, None]
        descriptors /= np.maximum(lengths, np.finfo(np.float32).tiny)
        return Features(
            (points + np.float32(self._offset)) * np.float32(step),
            sizes * np.float32(step / 2),
            angles,
            scores,
            descriptors,
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
