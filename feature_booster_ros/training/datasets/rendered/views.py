# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training pairs rendered from random scenes: parallax, occlusion and exact depth."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from ....features import create_extractor
from ....photos import change_light, read_photo
from ....progress import Progress
from ....rendering.renderer import Scene, cast, draw, draw_depth
from ....rendering.scenes import MATERIALS, PHOTOGRAPHS, load_images
from ..posed_view import PosedView, overlap
from ..posed_views import FEWEST_FEATURES, PosedViewsWriter
from .random_cameras import random_cameras, scaled_intrinsics
from .random_scenes import RandomScene, random_scene

logger = logging.getLogger(__name__)

LEAST_OVERLAP = 0.02
"""Pairs of views that share less are not named in the file."""
PHOTOGRAPHS_OF_A_SCENE = 40
LONGEST_SIDE = 1024
"""Of a photograph, in pixels; larger ones are shrunk to it."""
DEPTH_STEP = 4
"""Pixels of an image to one of the depth map that is kept."""
_EDGE = 2.0  # pixels from a keypoint within which its depth must be the same
_SAME_DEPTH = 0.05  # as a share


@dataclass(frozen=True)
class _Job:
    number: int
    detector: str
    views: int
    seed: int
    photos: tuple[Path, ...] | None
    shape: tuple[int, int]
    features: int


def render_views(
    path: str | Path,
    detector: str,
    scenes: int = 60,
    views: int = 12,
    seed: int = 0,
    photos: Sequence[Path] | None = None,
    *,
    width: int = 640,
    height: int = 480,
    features: int = 768,
    workers: int = 1,
) -> None:
    """Render views of random scenes and write their features as a file of posed views.

    Args:
        path: of the HDF5 file to write, for :class:`PosedViews`.
        detector: name of the extractor.
        scenes: how many; each is another.
        views: of a scene. All look roughly at the same, in light of their own.
        seed: the same arguments give the same features.
        photos: what scenes are covered with; None for those that come with scikit-image.
        width, height: of a view, pixels.
        features: largest number kept of a view.
        workers: processes to render with.

    Raises:
        ValueError: an argument is out of range, none of the photographs can be read, or h5py is not
            installed.
        FileNotFoundError: scikit-image's photographs are wanted but not installed.
    """
    for name, value, least in (
        ("scenes", scenes, 1),
        ("views", views, 2),
        ("seed", seed, 0),
        ("width", width, 64),
        ("height", height, 64),
        ("features", features, FEWEST_FEATURES),
    ):
        if value < least:
            raise ValueError(f"rendered views: {name} must be at least {least}, not {value}")
    if photos is not None and not photos:
        raise ValueError("rendered views: there are no photographs; give None for scikit-image's")
    jobs = [
        _Job(
            number,
            detector,
            views,
            seed,
            None if photos is None else tuple(photos),
            (height, width),
            features,
        )
        for number in range(scenes)
    ]
    view_count = pair_count = 0
    with PosedViewsWriter(path, detector) as writer:
        progress = Progress(_run(jobs, workers), "scenes", scenes)
        for job, rendered in zip(jobs, progress, strict=True):
            if len(rendered) < views:
                logger.info("scene %d has %d views of %d", job.number, len(rendered), views)
            view_count += len(rendered)
            pair_count += _write(writer, f"{seed}-{job.number}", rendered)
    logger.info("%s: %d scenes, %d views, %d pairs", path, scenes, view_count, pair_count)


def _write(writer: PosedViewsWriter, scene: str, views: Sequence[PosedView]) -> int:
    """Write a scene; the number of its pairs."""
    for number, view in enumerate(views):
        writer.add(scene, str(number), view)
    pairs = [
        (str(first), str(second), shared)
        for first, second in combinations(range(len(views)), 2)
        if (shared := overlap(views[first], views[second])) >= LEAST_OVERLAP
    ]
    if pairs:
        writer.add_pairs(scene, [pair[:2] for pair in pairs], [pair[2] for pair in pairs])
    return len(pairs)


def _run(jobs: Sequence[_Job], workers: int) -> Iterator[list[PosedView]]:
    if workers <= 1:
        yield from map(_scene_views, jobs)
        return
    # Spawned and not forked: a fork of a process whose OpenCV has threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, cv2.setNumThreads, (1,)) as pool:
        yield from pool.map(_scene_views, jobs)


def _scene_views(job: _Job) -> list[PosedView]:
    rng = np.random.default_rng([job.seed, job.number])
    scene = photographed_scene(rng, job.photos)
    extractor = create_extractor(job.detector, job.features)
    views = []
    for matrix, pose in random_cameras(rng, scene, job.views, job.shape):
        height, width = job.shape
        image = change_light(rng, draw(scene.scene, matrix, pose, width, height))
        features = extractor(image)
        if len(features) >= FEWEST_FEATURES:
            depths = keypoint_depths(scene.scene, matrix, pose, features.keypoints)
            depth = _depth_map(scene.scene, matrix, pose, job.shape)
            views.append(PosedView(features, job.shape, matrix, pose, depths, depth))
    return views


def photographed_scene(rng: np.random.Generator, photos: Sequence[Path] | None) -> RandomScene:
    """A random scene covered with some of the photographs, or with scikit-image's if None."""
    if photos is None:
        return random_scene(rng, list(load_images((*PHOTOGRAPHS, *MATERIALS)).values()))
    chosen = [photos[index] for index in rng.permutation(len(photos))[:PHOTOGRAPHS_OF_A_SCENE]]
    read = [read_photo(path, LONGEST_SIDE) for path in chosen]
    readable = [image for image in read if image is not None]
    if not readable:
        raise ValueError(f"none of {len(chosen)} photographs can be read, such as {chosen[0]}")
    return random_scene(rng, readable)


def keypoint_depths(
    scene: Scene, matrix: np.ndarray, pose: np.ndarray, keypoints: np.ndarray
) -> np.ndarray:
    """Exact depth (N,) of what keypoints (N, 2) show; 0 where nothing is, and where the depth jumps
    within 2 pixels: such a keypoint shows two things, and is true to neither.
    """
    offsets = _EDGE * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    points = (keypoints[None].astype(np.float64) + offsets[:, None]).reshape(-1, 2)
    around = cast(scene, matrix, pose, points)[0].reshape(len(offsets), -1)
    same = around.max(axis=0) <= around.min(axis=0) * (1 + _SAME_DEPTH)
    return np.where(same & np.isfinite(around[0]), around[0], 0.0)


def _depth_map(
    scene: Scene, matrix: np.ndarray, pose: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    height, width = small = (shape[0] // DEPTH_STEP, shape[1] // DEPTH_STEP)
    depth = draw_depth(scene, scaled_intrinsics(matrix, shape, small), pose, width, height)
    return np.where(np.isfinite(depth), depth, 0).astype(np.float32)
