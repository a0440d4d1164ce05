# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of MegaDepth (Li and Snavely, CVPR 2018), whose features are extracted while training.

As in FeatureBooster and D2-Net (Dusmanu et al., CVPR 2019), two images of a scene that share points
are cropped around one of these, and the features are moved to the other image by depth.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ....features import create_extractor
from ....pixels import read_gray
from ..pairs import PairSource, ViewGroup
from ..posed_view import PosedView, usable_pair
from .depth_maps import depth_at, read_depth
from .scene import SceneView, read_scenes

logger = logging.getLogger(__name__)

MIN_OVERLAP, MAX_OVERLAP = 0.1, 1.0
"""Bounds of the overlap of the pairs that FeatureBooster's authors train on."""


class MegaDepth(PairSource):
    """Pairs of images from scenes that ``feature-booster prepare-megadepth`` has prepared.

    A scene is drawn in proportion to its number of pairs, but at most ``pairs_per_scene``. The
    points that the images observe stay in memory, about 20 bytes an observation. Objects can be
    pickled.

    Args:
        scene_list_path: Text file with the names of the scenes, one a line.
        scene_info_path: Folder of the scenes' .npz files (:mod:`.scene`), from a source that you
            trust.
        base_path: MegaDepth's folder, which the paths in these files start from.
        detector: Name of the extractor.
        pairs_per_scene: Most pairs of a scene in an epoch.
        crop_image_size: Side of the square that is cut from each image, or less if the image is
            smaller [px].
        min_overlap: Least share of the first image's points that the second shows too.
        max_overlap: Largest such share.
        max_features: Most features of a crop.

    Raises:
        FileNotFoundError: There is no such list, or no file of any of its scenes.
        ValueError: An argument is out of range, no scene has a pair, or there is no such extractor.
    """

    def __init__(
        self,
        scene_list_path: str | PathLike,
        scene_info_path: str | PathLike,
        base_path: str | PathLike,
        detector: str,
        pairs_per_scene: int = 300,
        crop_image_size: int = 512,
        min_overlap: float = MIN_OVERLAP,
        max_overlap: float = MAX_OVERLAP,
        max_features: int = 2048,
    ) -> None:
        for name, value, least in (
            ("pairs_per_scene", pairs_per_scene, 1),
            ("crop_image_size", crop_image_size, 32),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        self.detector = detector
        self.base_path = Path(base_path)
        self.crop_image_size = crop_image_size
        self.max_features = max_features
        self._extractor = create_extractor(detector, max_features)
        self.scenes = read_scenes(scene_list_path, scene_info_path, min_overlap, max_overlap)
        self._scene_ends = np.cumsum(
            [min(len(scene.pairs), pairs_per_scene) for scene in self.scenes]
        )

    def __len__(self) -> int:
        return int(self._scene_ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        # OpenCV's detectors cannot be pickled.
        return {**self.__dict__, "_extractor": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._extractor = create_extractor(self.detector, self.max_features)

    def draw(self, rng: np.random.Generator) -> ViewGroup | None:
        """Draw a pair of crops.

        Returns:
            None if an image or a depth map cannot be read, or the pair is not usable
            (:func:`..posed_view.usable_pair`).
        """
        views = self.draw_views(rng)
        return None if views is None else usable_pair(*views)

    def draw_views(self, rng: np.random.Generator) -> tuple[PosedView, PosedView] | None:
        """Draw two crops, whatever they show, or None if one cannot be read."""
        scene = self.scenes[np.searchsorted(self._scene_ends, rng.integers(len(self)), "right")]
        first, second = (scene.views[i] for i in scene.pairs[rng.integers(len(scene.pairs))])
        _, *shared = np.intersect1d(
            first.points, second.points, assume_unique=True, return_indices=True
        )
        if len(shared[0]) == 0:
            return None
        point = rng.integers(len(shared[0]))
        one = self._crop(first, first.pixels[shared[0][point]])
        other = self._crop(second, second.pixels[shared[1][point]])
        return None if one is None or other is None else (one, other)

    def _crop(self, view: SceneView, center: np.ndarray) -> PosedView | None:
        """Return the features of the part of an image around a pixel (2,) x, y.

        Returns:
            None if the image or its depth map cannot be read.
        """
        path = self.base_path / view.image_path
        if view.depth_path is None:
            logger.debug("%s has no depth map", path)
            return None
        try:
            image = read_gray(path)
            window = _window(image.shape, center, self.crop_image_size)
            depth = read_depth(self.base_path / view.depth_path, image.shape, window)
        except (FileNotFoundError, ValueError) as error:
            logger.debug("%s", error)
            return None
        features = self._extractor(image[window])
        matrix = view.camera_matrix.copy()
        matrix[:2, 2] -= window[1].start, window[0].start
        return PosedView(
            features, depth.shape, matrix, view.pose, depth_at(depth, features.keypoints), depth
        )


def _window(shape: tuple[int, int], center: np.ndarray, size: int) -> tuple[slice, slice]:
    """Return rows and columns of the square around a pixel x, y, moved into the image."""

    def around(at: float, length: int) -> slice:
        start = int(np.clip(round(float(at)) - size // 2, 0, max(length - size, 0)))
        return slice(start, min(start + size, length))

    return around(center[1], shape[0]), around(center[0], shape[1])
