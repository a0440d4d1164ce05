# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ORB (Rublee et al., ICCV 2011) by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np

from .extractor import Extractor, check_range
from .keypoints import keypoint_arrays, spread, strongest
from .types import Features


class OrbExtractor(Extractor):
    """ORB features, 256 bits each.

    Args:
        max_features: the largest number of features to return.
        grid: (rows, columns) to spread the features over, or None. With a grid, each pyramid level
            gets features in proportion to its area, spread over the grid for itself: a feature of a
            coarse level is less exact, and OpenCV takes more of them.
        scale_factor: ratio of the sizes of neighboring pyramid levels.
        levels: number of pyramid levels.
        fast_threshold: least difference of gray values of a corner; a lower value finds more.
        edge_threshold: width of the image's border without features [px].
        patch_size: size of the described patch [px of its pyramid level].

    Raises:
        ValueError: an option is out of its range; the message names it.
    """

    name = "orb"
    descriptor_length = 256
    is_binary = True
    grid_candidates = 6  # OpenCV gives the fine levels a smaller share than the grid does

    def __init__(
        self,
        max_features: int = 2048,
        grid: tuple[int, int] | None = None,
        *,
        scale_factor: float = 1.2,
        levels: int = 8,
        fast_threshold: int = 20,
        edge_threshold: int = 31,
        patch_size: int = 31,
    ) -> None:
        super().__init__(max_features, grid)
        check_range("scale_factor", scale_factor, 1.01, 4.0)
        check_range("levels", levels, 1, 32)
        check_range("fast_threshold", fast_threshold, 1, 255)
        check_range("edge_threshold", edge_threshold, 1, None)
        check_range("patch_size", patch_size, 2, None)
        # The pyramid and its blurred copy; measured memory is a quarter to a third less.
        self.bytes_per_pixel = 2 / (1 - scale_factor**-2)
        self._patch_size = int(patch_size)
        self._scale_factor, self._levels = float(scale_factor), int(levels)
        self._options = {
            "scaleFactor": float(scale_factor),
            "edgeThreshold": int(edge_threshold),
            "patchSize": int(patch_size),
            "fastThreshold": int(fast_threshold),
        }
        self._detectors: dict[tuple[int, int], cv2.ORB] = {}

    def _extract(self, image: np.ndarray, mask: np.ndarray | None, limit: int) -> Features:
        # OpenCV fails on a pyramid with a level of less than a pixel.
        levels = 1 + int(np.log(min(image.shape)) / np.log(self._scale_factor))
        detector = self._detector(limit, min(self._levels, levels))
        keypoints, descriptors = detector.detectAndCompute(image, mask)
        if not keypoints:
            return Features.empty(self.descriptor_length, self.is_binary)
        points, sizes, angles, scores = keypoint_arrays(keypoints)
        return Features(points, sizes / np.float32(self._patch_size), angles, scores, descriptors)

    def _spread(
        self, features: Features, image_shape: tuple[int, ...], grid: tuple[int, int]
    ) -> np.ndarray:
        level = np.rint(np.log(features.scales) / np.log(self._scale_factor))
        shares = self._scale_factor ** (-2.0 * np.arange(self._levels))
        shares *= self.max_features / shares.sum()
        selected: list[np.ndarray] = []
        # What a coarse level lacks goes to the next finer one.
        for number in range(self._levels - 1, -1, -1):
            mine = np.flatnonzero(level == number)
            wanted = round(shares[number:].sum()) - sum(map(len, selected))
            selected.append(
                mine[
                    spread(
                        features.keypoints[mine], features.scores[mine], image_shape, grid, wanted
                    )
                ]
            )
        chosen = np.concatenate(selected)
        # What the finest level lacks goes to the others.
        rest = np.setdiff1d(np.arange(len(features)), chosen)
        missing = self.max_features - len(chosen)
        return np.concatenate([chosen, rest[strongest(features.scores[rest], missing)]])

    def _detector(self, limit: int, levels: int) -> cv2.ORB:
        key = limit, levels
        if key not in self._detectors:
            detector = cv2.ORB_create(  # type: ignore[attr-defined]
                nfeatures=limit, nlevels=levels, **self._options
            )
            self._detectors = {key: detector}
        return self._detectors[key]
