# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIFT on a CUDA GPU, by COLMAP's SiftGPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .extractor import Extractor, check_range
from .sift import SIFT_UNIT
from .types import Features

if TYPE_CHECKING:
    import pycolmap

# Coordinate of the center of the top-left pixel in COLMAP [px]; here it is 0.
_COLMAP_CENTER = 0.5


class SiftGpuExtractor(Extractor):
    """SIFT features, 128 floats of unit length each, for networks trained on OpenCV's SIFT.

    Descriptors, scales and angles are those of :class:`SiftExtractor` except for rounding: the
    median cosine of descriptors of the same keypoint is 0.99. COLMAP returns no detector response,
    so ``scores`` are the scales, and the largest features are kept, as by COLMAP. There are four
    octaves.

    Args:
        max_features: the largest number of features to return.
        grid: (rows, columns) to spread the features over, or None.
        contrast_threshold: as :class:`SiftExtractor`'s.
        edge_threshold: as :class:`SiftExtractor`'s.
        octave_layers: scales an octave is divided into.
        first_octave: -1 starts on the image at double size, 0 on the image itself.
        device: "cuda", or "cpu" for the same features by COLMAP's implementation for a CPU, which
            is several times slower than OpenCV's: for comparisons.

    Raises:
        ValueError: an option is out of its range, pycolmap is missing, or it is a build without
            CUDA; the message names it and the remedy.
    """

    name = "sift_gpu"
    descriptor_length = 128
    is_binary = False
    boosted_as = "sift"
    bytes_per_unit = SIFT_UNIT

    def __init__(
        self,
        max_features: int = 2048,
        grid: tuple[int, int] | None = None,
        *,
        contrast_threshold: float = 0.04,
        edge_threshold: float = 10.0,
        octave_layers: int = 3,
        first_octave: int = -1,
        device: str = "cuda",
    ) -> None:
        super().__init__(max_features, grid)
        check_range("contrast_threshold", contrast_threshold, 0.0, 1.0)
        check_range("edge_threshold", edge_threshold, 1.0, None)
        check_range("octave_layers", octave_layers, 1, 16)
        check_range("first_octave", first_octave, -1, 0)
        if device not in ("cuda", "cpu"):
            raise ValueError(f"device must be cuda or cpu, not {device!r}")
        try:
            import pycolmap
        except ImportError as error:
            raise ValueError(
                "extractor 'sift_gpu' needs pycolmap: pip install pycolmap-cuda12, or use 'sift'"
            ) from error
        if device == "cuda" and not pycolmap.has_cuda:
            raise ValueError(
                "extractor 'sift_gpu' needs pycolmap with CUDA, and the one installed has none: "
                "pip uninstall pycolmap; pip install pycolmap-cuda12; or use 'sift'"
            )
        pycolmap.logging.minloglevel = int(pycolmap.logging.WARNING)
        options = pycolmap.FeatureExtractionOptions()
        options.use_gpu = device == "cuda"
        # The same threshold in COLMAP's terms.
        options.sift.peak_threshold = 0.5 * contrast_threshold / octave_layers
        options.sift.edge_threshold = edge_threshold
        options.sift.octave_resolution = octave_layers
        options.sift.first_octave = first_octave
        options.sift.normalization = pycolmap.Normalization.L2
        self._pycolmap, self._options, self._device = pycolmap, options, device
        self._detectors: dict[int, pycolmap.Sift] = {}

    def _extract(self, image: np.ndarray, mask: np.ndarray | None, limit: int) -> Features:
        if min(image.shape) < 16 or np.ptp(image) == 0:  # smaller than COLMAP's pyramid
            return Features.empty(self.descriptor_length, self.is_binary)
        geometry, descriptors = self._detector(limit).extract(image)
        descriptors = np.array(descriptors, np.float32).reshape(-1, self.descriptor_length)
        # COLMAP rounds them to bytes, which changes their length by up to a thousandth.
        lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
        descriptors /= np.maximum(lengths, np.finfo(np.float32).tiny)
        points = np.array(geometry[:, :2], np.float32) - np.float32(_COLMAP_CENTER)
        scales = np.array(geometry[:, 2], np.float32)
        angles = np.array(geometry[:, 3], np.float32) % np.float32(2 * np.pi)
        features = Features(points, scales, angles, scales, descriptors)
        if mask is None:
            return features
        columns, rows = np.rint(points).astype(int).T
        height, width = image.shape
        inside = mask[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)] > 0
        return features.select(inside)

    def _detector(self, limit: int) -> pycolmap.Sift:
        # Not in the constructor, as COLMAP's extractor belongs to the thread that creates it.
        if limit not in self._detectors:
            self._options.sift.max_num_features = limit
            device = getattr(self._pycolmap.Device, self._device)
            # Its successor returns keypoints as single Python objects.
            self._detectors = {limit: self._pycolmap.Sift(self._options, device)}
        return self._detectors[limit]
