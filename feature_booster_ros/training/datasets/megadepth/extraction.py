# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features of MegaDepth's images, extracted once and stored with their depths."""

from __future__ import annotations

import functools
import logging
import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import cv2
import numpy as np

from ....features import Extractor, create_extractor
from ....pixels import read_gray, shrink
from ....progress import Progress
from ..posed_view import PosedView
from ..posed_views import FEWEST_FEATURES, PosedViewsWriter
from .depth_maps import depth_at, nearest_depth, read_depth, shrink_depth
from .pairs import MAX_OVERLAP, MIN_OVERLAP
from .scene import MegaDepthScene, SceneView, find_scene_files, read_scene

logger = logging.getLogger(__name__)

DEPTH_REDUCTION = 4
"""Pixels of an image, across and down, for each of the depth map that is stored: it serves the
occlusion check only, which looks at surfaces and not at their edges.
"""
TRACK_RADIUS = 1.5
"""Pixels at most from a feature to a point of the reconstruction that has the same depth."""


@dataclass(frozen=True)
class Extraction:
    """What :func:`extract` stored.

    Attributes:
        scenes: with pairs.
        views: images with their features.
        without_depth: views of which the depth map cannot be read: they have the depths of the
            reconstruction's points, and no occlusion check.
        pairs: of images, each order counted.
        left_out: images without, by reason.
        output: file.
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
    """Stores features of whole images, their depths and the pairs of images, for
    :class:`..posed_views.PosedViews`.

    A feature's depth is that of the depth map, or where that has none, of the point of the
    reconstruction seen there. An image that cannot be read or has few features is left out and
    counted. The file is there only once it is complete.

    Args:
        scene_list_path: text file with the names of the scenes, one a line.
        scene_info_path: folder of the scenes' .npz files, of people whom you trust.
        base_path: MegaDepth's folder.
        output: file to write, .h5.
        detector: of the features.
        max_features: of an image.
        longest_side: to which larger images are shrunk, pixels.
        images_per_scene: most images of a scene: those of pairs drawn at random until they are so
            many, with all pairs among them.
        min_overlap, max_overlap: bounds on the share of the first image's points that the second
            shows too.
        seed: of the draw.
        workers: processes.

    Raises:
        FileNotFoundError: there is no such list, or no file of any of its scenes.
        ValueError: an argument is out of range, h5py is not installed, or no pair is left.
    """
    for name, value, least in (("longest_side", longest_side, 64), ("workers", workers, 1),
                               ("images_per_scene", images_per_scene, 2)):  # fmt: skip
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    create_extractor(detector, max_features)  # to refuse at once what it would refuse later
    paths = find_scene_files(scene_list_path, scene_info_path)
    settings = _Settings(Path(base_path), detector, max_features, longest_side)
    result = Extraction(0, 0, 0, 0, Counter(), Path(output))
    with PosedViewsWriter(output, detector) as writer, _mapper(workers) as run:
        for number, path in enumerate(Progress(paths, "scenes")):
            try:
                scene = read_scene(path, min_overlap, max_overlap)
            except ValueError as error:
                logger.warning("left out a scene: %s", error)
                continue
            rng = np.random.default_rng([seed, number])
            chosen = choose_images(scene, images_per_scene, rng)
            jobs = [(scene.views[image], settings) for image in chosen]
            result += _store(writer, scene, zip(chosen, run(jobs), strict=True))
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
    """Writes a scene's views, that come with their numbers, and the pairs of those there are."""
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
    """Numbers of at most ``limit`` views, ascending, each of a pair with another of them."""
    if len(scene.views) <= limit:
        return sorted(scene.views)
    chosen: set[int] = set()
    for pair in rng.permutation(scene.pairs).tolist():
        if len(chosen | set(pair)) > limit:
            break
        chosen |= set(pair)
    return sorted(chosen)


_Job = tuple[SceneView, _Settings]


@contextmanager
def _mapper(workers: int) -> Iterator:
    """A function from jobs to their results, in order, one after another or in processes."""
    if workers == 1:
        yield functools.partial(map, _extract_view)
        return
    # Spawned and not forked: a fork of a process whose OpenCV has threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, cv2.setNumThreads, (1,)) as pool:

        def run(jobs: Iterable[_Job]) -> Iterator[PosedView | str]:
            return pool.map(_extract_view, jobs, chunksize=2)

        yield run


# A process makes its extractor once.
_extractor = functools.lru_cache(maxsize=1)(create_extractor)


def _extract_view(job: _Job) -> PosedView | str:
    """A view, or why there is none."""
    view, settings = job
    try:
        full = read_gray(settings.base_path / view.image_path)
    except ValueError:
        return "it cannot be read"
    image, _ = shrink(full, settings.longest_side)
    extractor: Extractor = _extractor(settings.detector, settings.max_features)
    features = extractor(image)
    if len(features) < FEWEST_FEATURES:
        return f"it has fewer than {FEWEST_FEATURES} features"
    scale = np.array(image.shape[::-1]) / full.shape[::-1]
    matrix = view.camera_matrix.copy()
    matrix[:2] *= scale[:, None]
    matrix[:2, 2] += 0.5 * scale - 0.5
    in_full = (features.keypoints + 0.5) / scale - 0.5
    depth = _read_depth(view, settings.base_path, full.shape)
    small = None
    depths = np.zeros(len(features), np.float32)
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
