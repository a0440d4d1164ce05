# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Extract the features of MegaDepth's images once, and store them with their depths."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from ....features import Extractor, create_extractor
from ....pixels import read_gray, shrink
from ....progress import Progress
from ..pairs import MIN_FEATURES
from ..posed_view import PosedView
from ..posed_views import DEPTH_REDUCTION, PosedViewsWriter
from ..workers import WorkerPool
from .depth_maps import depth_at, nearest_depth, read_depth, shrink_depth
from .pairs import MAX_OVERLAP, MIN_OVERLAP
from .scene import MegaDepthScene, SceneView, find_scene_files, read_scene

logger = logging.getLogger(__name__)

TRACK_RADIUS = 1.5
"""Largest distance of a feature to a point of the reconstruction that gives its depth [px]."""


@dataclass(frozen=True)
class Extraction:
    """Summary of :func:`extract`.

    Attributes:
        scenes: Number of scenes with pairs.
        views: Number of images that are stored.
        without_depth: Number of these whose depth map cannot be read: they have the depths of the
            reconstruction's points, and no occlusion check.
        pairs: Number of pairs of images, each order counted.
        left_out: Number of images that are not stored, by reason.
        output: File that was written.
    """

    scenes: int
    views: int
    without_depth: int
    pairs: int
    left_out: Counter[str]
    output: Path

    def __add__(self, other: Extraction) -> Extraction:
        return Extraction(
            self.scenes + other.scenes,
            self.views + other.views,
            self.without_depth + other.without_depth,
            self.pairs + other.pairs,
            self.left_out + other.left_out,
            self.output,
        )

    def __str__(self) -> str:
        lines = [
            f"{self.scenes} scenes, {self.views} images ({self.without_depth} without depth map), "
            f"{self.pairs} pairs"
        ]
        lines += [f"  {count} images left out: {reason}" for reason, count in self.left_out.items()]
        return "\n".join([*lines, f"written to {self.output}"])


@dataclass(frozen=True)
class _Settings:
    base_path: Path
    detector: str
    max_features: int
    longest_side: int


def extract(
    scene_list_path: str | PathLike,
    scene_info_path: str | PathLike,
    base_path: str | PathLike,
    output: str | PathLike,
    detector: str = "sift",
    max_features: int = 2048,
    longest_side: int = 1024,
    images_per_scene: int = 200,
    min_overlap: float = MIN_OVERLAP,
    max_overlap: float = MAX_OVERLAP,
    seed: int = 0,
    workers: int = 1,
) -> Extraction:
    """Write features of whole images, their depths and the pairs of images to a file.

    The file is one of :mod:`..posed_views`. A feature's depth is that of the depth map or, if
    unknown, of the point of the reconstruction seen there. An image that cannot be read or has few
    features is left out and counted. The file exists only once it is complete.

    Args:
        scene_list_path: Text file with the names of the scenes, one a line.
        scene_info_path: Folder of the scenes' .npz files, from a source that you trust.
        base_path: MegaDepth's folder.
        output: File to write, .h5.
        detector: Name of the extractor.
        max_features: Most features of an image.
        longest_side: Longest side to which larger images are shrunk [px].
        images_per_scene: Most images of a scene: pairs are drawn at random until there are so many
            images, and all pairs of these are stored.
        min_overlap: Least share of the first image's points that the second shows too.
        max_overlap: Largest such share.
        seed: Seed of the draw.
        workers: Number of processes.

    Raises:
        FileNotFoundError: There is no such list, or no file of any of its scenes.
        ValueError: An argument is out of range, h5py is not installed, or no pair is left.
    """
    for name, value, least in (("longest_side", longest_side, 64), ("workers", workers, 1),
                               ("images_per_scene", images_per_scene, 2)):  # fmt: skip
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    create_extractor(detector, max_features)  # refuses a wrong name at once
    paths = find_scene_files(scene_list_path, scene_info_path)
    settings = _Settings(Path(base_path), detector, max_features, longest_side)
    result = Extraction(0, 0, 0, 0, Counter(), Path(output))
    with PosedViewsWriter(Path(output), detector) as writer, WorkerPool(workers) as pool:
        for number, path in enumerate(Progress(paths, "scenes")):
            try:
                scene = read_scene(path, min_overlap, max_overlap)
            except ValueError as error:
                logger.warning("left out a scene: %s", error)
                continue
            rng = np.random.default_rng([seed, number])
            chosen = choose_images(scene, images_per_scene, rng)
            jobs = [(scene.views[image], settings) for image in chosen]
            result += _store(writer, scene, zip(chosen, pool.map(_extract_view, jobs), strict=True))
        if result.pairs == 0:
            reasons = ", ".join(f"{count}: {reason}" for reason, count in result.left_out.items())
            raise ValueError(
                f"no pair of images with an overlap from {min_overlap} to {max_overlap} is left of "
                f"the {len(paths)} scenes; images left out: {reasons or 'none'}"
            )
    return result


def _store(
    writer: PosedViewsWriter, scene: MegaDepthScene, views: Iterable[tuple[int, PosedView | str]]
) -> Extraction:
    """Write a scene's views, which come with their numbers, and their pairs."""
    stored: dict[int, str] = {}
    left_out: Counter[str] = Counter()
    without_depth = 0
    for number, view in views:
        name = scene.views[number].image_path
        if isinstance(view, str):
            left_out[view] += 1
            logger.warning("left out %s: %s", name, view)
        else:
            stored[number] = name
            without_depth += view.depth is None
            writer.add(scene.name, name, view)
    kept = np.isin(scene.pairs, list(stored)).all(axis=1)
    if kept.any():
        names = [(stored[first], stored[second]) for first, second in scene.pairs[kept].tolist()]
        writer.add_pairs(scene.name, names, scene.overlaps[kept])
    else:
        logger.warning("scene %s has no pairs", scene.name)
    pairs = int(kept.sum())
    return Extraction(int(pairs > 0), len(stored), without_depth, pairs, left_out, writer.path)


def choose_images(scene: MegaDepthScene, limit: int, rng: np.random.Generator) -> list[int]:
    """Return numbers of at most ``limit`` views, ascending, each paired with another of them."""
    if len(scene.views) <= limit:
        return sorted(scene.views)
    chosen: set[int] = set()
    for pair in rng.permutation(scene.pairs).tolist():
        if len(chosen | set(pair)) > limit:
            break
        chosen |= set(pair)
    return sorted(chosen)


_Job = tuple[SceneView, _Settings]


# A process makes an extractor once.
_extractor = functools.lru_cache(maxsize=1)(create_extractor)


def _extract_view(job: _Job) -> PosedView | str:
    """Return a view, or the reason why it is left out."""
    view, settings = job
    try:
        full = read_gray(settings.base_path / view.image_path)
    except ValueError:
        return "it cannot be read"
    image, _ = shrink(full, settings.longest_side)
    extractor: Extractor = _extractor(settings.detector, settings.max_features)
    features = extractor(image)
    if len(features) < MIN_FEATURES:
        return f"it has fewer than {MIN_FEATURES} features"
    scale = np.array(image.shape[::-1]) / full.shape[::-1]
    matrix = view.camera_matrix.copy()
    matrix[:2] *= scale[:, None]
    matrix[:2, 2] += 0.5 * scale - 0.5
    in_full = (features.keypoints + 0.5) / scale - 0.5
    depth = _read_depth(view, settings.base_path, full.shape)
    small = None
    depths: np.ndarray = np.zeros(len(features), np.float32)
    if depth is not None:
        depths = depth_at(depth, in_full)
        height, width = (max(1, round(side / DEPTH_REDUCTION)) for side in image.shape)
        small = shrink_depth(depth, (height, width))
    tracked = nearest_depth(view.pixels, view.depths, in_full, TRACK_RADIUS / min(scale))
    depths = np.where(depths > 0, depths, tracked)
    return PosedView(features, image.shape, matrix, view.pose, depths, small)


def _read_depth(view: SceneView, base_path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    if view.depth_path is None:
        return None
    try:
        return read_depth(base_path / view.depth_path, shape)
    except (FileNotFoundError, ValueError) as error:
        logger.debug("%s", error)
        return None
