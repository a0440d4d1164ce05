# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of MegaDepth (Li and Snavely, CVPR 2018), features extracted while training.

As FeatureBooster and D2-Net (Dusmanu et al., CVPR 2019) do: two images of a scene that share some
of their points, each cropped around one of these, its features moved to the other image by depth.
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
from ..feature_pair import FeaturePair, PairSource
from ..posed_view import PosedView, posed_pair, within
from ..posed_views import FEWEST_FEATURES
from .depth_maps import depth_at, read_depth
from .scene import SceneView, read_scenes

logger = logging.getLogger(__name__)

MIN_OVERLAP, MAX_OVERLAP = 0.1, 1.0
"""Of the pairs that FeatureBooster's authors train on."""


class MegaDepth(PairSource):
    """Pairs of images from scenes that ``feature-booster prepare-megadepth`` has prepared.

    A scene's share of the pairs is that of the smaller of its number of pairs and
    ``pairs_per_scene``. The points that the scenes' images share stay in memory, about 20 bytes
    each time that an image observes one. Objects can be pickled.

    Args:
        scene_list_path: text file with the names of the scenes, one a line.
        scene_info_path: folder of the scenes' .npz files (see :mod:`.scene`), of people
            whom you trust.
        base_path: MegaDepth's folder, which the paths in these files start from.
        detector: of the features.
        pairs_per_scene: most pairs of a scene in an epoch.
        crop_image_size: side in pixels of the square that is cut from each image; an image with
            shorter sides is taken in their full length.
        min_overlap, max_overlap: bounds on the share of the first image's points that the second
            shows too.
        max_features: of a crop.

    Raises:
        FileNotFoundError: there is no such list, or no file of any of its scenes.
        ValueError: an argument is out of range, no scene has a pair, or there is no such detector.
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

    def draw(self, rng: np.random.Generator) -> FeaturePair | None:
        """A pair of crops; None if an image or a depth map cannot be read, a crop has few features,
        or neither shows a point of the other.
        """
        views = self.draw_views(rng)
        if views is None or min(len(view.features) for view in views) < FEWEST_FEATURES:
            return None
        pair = posed_pair(*views)
        seen = (
            within(at, shape) for at, shape in zip(pair.seen_at, pair.shapes[::-1], strict=True)
        )
        return pair if all(inside.any() for inside in seen) else None

    def draw_views(self, rng: np.random.Generator) -> tuple[PosedView, PosedView] | None:
        """The two crops of a pair, whatever they show; None if one cannot be read."""
        scene = self.scenes[np.searchsorted(self._scene_ends, rng.integers(len(self)), "right")]
        first, second = (scene.views[i] for i in scene.pairs[rng.integers(len(scene.pairs))])
        _, *shared = np.intersect1d(
            first.points, second.points, assume_unique=True, return_indices=True
        )
        if len(shared[0]) == 0:
            return None
        point = rng.integers(len(shared[0]))
        crops = tuple(
            self._crop(view, view.pixels[rows[point]])
            for view, rows in zip((first, second), shared, strict=True)
        )
        return None if None in crops else crops

    def _crop(self, view: SceneView, center: np.ndarray) -> PosedView | None:
        """The part of an image around a pixel (2,) x, y, with its features; None if it or its depth
        map cannot be read.
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
    """Rows and columns of the square around a pixel x, y, moved into the image."""
    starts = [
        int(np.clip(round(float(at)) - size // 2, 0, max(length - size, 0)))
        for at, length in zip(center[::-1], shape, strict=True)
    ]
    return tuple(
        slice(start, min(start + size, length)) for start, length in zip(starts, shape, strict=True)
    )
