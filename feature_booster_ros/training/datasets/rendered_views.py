# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Render training pairs from random scenes, with parallax, occlusion and exact depth."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from ...features import create_extractor
from ...photos import change_light, read_photo
from ...progress import Progress
from ...rendering.camera_paths import rotation
from ...rendering.renderer import Scene, cast, draw, draw_depth
from ...rendering.scenes import MATERIALS, PHOTOGRAPHS, load_images
from .pairs import MIN_FEATURES
from .posed_view import PosedView, overlap
from .posed_views import DEPTH_REDUCTION, PosedViewsWriter
from .random_scenes import RandomScene, random_scene
from .workers import WorkerPool

logger = logging.getLogger(__name__)

MIN_STORED_OVERLAP = 0.02
"""Pairs of views with less overlap are not stored."""
MAX_PHOTOGRAPHS = 40
"""Most photographs that cover a scene."""
MAX_PHOTOGRAPH_SIDE = 1024
"""Longest side to which larger photographs are shrunk [px]."""
_EDGE = 2.0
"""Distance from a keypoint within which its depth must be the same [px]."""
_SAME_DEPTH = 0.05
"""Share by which depths on one surface differ at most."""

MAX_SCALE_CHANGE = 3.0
"""Distance of the farthest camera from the target over that of the nearest."""
MIN_DEPTHS = 0.6, 1.2
"""Least 5 and 25 percent quantiles of the depths that a camera sees [m]."""
_COARSE = 8
"""Side of an image over that of the image by which a camera is checked."""
_MAX_DRAWS = 20
"""Most cameras that are tried for each one that is wanted."""


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
        path: HDF5 file to write (:mod:`.posed_views`).
        detector: Name of the extractor.
        scenes: Number of random scenes.
        views: Number of views of a scene; they look at the same things in different light.
        seed: Seed of scenes and views; the same arguments give the same features.
        photos: Photographs that cover the scenes, or None for those of scikit-image.
        width: Width of a view [px].
        height: Height of a view [px].
        features: Most features of a view.
        workers: Number of processes.

    Raises:
        ValueError: An argument is out of range, none of the photographs can be read, or h5py is not
            installed.
        FileNotFoundError: scikit-image's photographs are wanted but not installed.
    """
    for name, value, least in (
        ("scenes", scenes, 1),
        ("views", views, 2),
        ("seed", seed, 0),
        ("width", width, 64),
        ("height", height, 64),
        ("features", features, MIN_FEATURES),
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
    with PosedViewsWriter(path, detector) as writer, WorkerPool(workers) as pool:
        progress = Progress(pool.map(_scene_views, jobs), "scenes", scenes)
        for job, rendered in zip(jobs, progress, strict=True):
            if len(rendered) < views:
                logger.info("scene %d has %d views of %d", job.number, len(rendered), views)
            view_count += len(rendered)
            pair_count += _write(writer, f"{seed}-{job.number}", rendered)
    logger.info("%s: %d scenes, %d views, %d pairs", path, scenes, view_count, pair_count)


def _write(writer: PosedViewsWriter, scene: str, views: Sequence[PosedView]) -> int:
    """Write a scene, and return the number of its pairs."""
    for number, view in enumerate(views):
        writer.add(scene, str(number), view)
    pairs = [
        (str(first), str(second), shared)
        for first, second in combinations(range(len(views)), 2)
        if (shared := overlap(views[first], views[second])) >= MIN_STORED_OVERLAP
    ]
    if pairs:
        writer.add_pairs(scene, [pair[:2] for pair in pairs], [pair[2] for pair in pairs])
    return len(pairs)


def _scene_views(job: _Job) -> list[PosedView]:
    rng = np.random.default_rng([job.seed, job.number])
    scene = photographed_scene(rng, job.photos)
    extractor = create_extractor(job.detector, job.features)
    views = []
    for matrix, pose in random_cameras(rng, scene, job.views, job.shape):
        height, width = job.shape
        image = change_light(rng, draw(scene.scene, matrix, pose, width, height))
        features = extractor(image)
        if len(features) >= MIN_FEATURES:
            depths = keypoint_depths(scene.scene, matrix, pose, features.keypoints)
            depth = _depth_map(scene.scene, matrix, pose, job.shape)
            views.append(PosedView(features, job.shape, matrix, pose, depths, depth))
    return views


def photographed_scene(rng: np.random.Generator, photos: Sequence[Path] | None) -> RandomScene:
    """Return a random scene covered with some of the photographs, or scikit-image's if None."""
    if photos is None:
        return random_scene(rng, list(load_images((*PHOTOGRAPHS, *MATERIALS)).values()))
    chosen = [photos[index] for index in rng.permutation(len(photos))[:MAX_PHOTOGRAPHS]]
    read = [read_photo(path, MAX_PHOTOGRAPH_SIDE) for path in chosen]
    readable = [image for image in read if image is not None]
    if not readable:
        raise ValueError(f"none of {len(chosen)} photographs can be read, such as {chosen[0]}")
    return random_scene(rng, readable)


def keypoint_depths(
    scene: Scene, matrix: np.ndarray, pose: np.ndarray, keypoints: np.ndarray
) -> np.ndarray:
    """Return the exact depth (N,) of keypoints (N, 2).

    It is 0 if a keypoint shows nothing, or lies on an edge and shows two surfaces.
    """
    offsets = _EDGE * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    points = (keypoints[None].astype(np.float64) + offsets[:, None]).reshape(-1, 2)
    around = cast(scene, matrix, pose, points)[0].reshape(len(offsets), -1)
    same = around.max(axis=0) <= around.min(axis=0) * (1 + _SAME_DEPTH)
    return np.where(same & np.isfinite(around[0]), around[0], 0.0)


def _depth_map(
    scene: Scene, matrix: np.ndarray, pose: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    height, width = small = (shape[0] // DEPTH_REDUCTION, shape[1] // DEPTH_REDUCTION)
    depth = draw_depth(scene, scaled_intrinsics(matrix, shape, small), pose, width, height)
    return np.where(np.isfinite(depth), depth, 0).astype(np.float32)


def random_cameras(
    rng: np.random.Generator, scene: RandomScene, count: int, shape: tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield random cameras that look at one target of a scene and see more than a near surface.

    They are near the line from one place to the target, up to ``MAX_SCALE_CHANGE`` times nearer
    than that place, and look roughly at the target; a tenth of them is rolled by any angle.

    Args:
        rng: Source of randomness.
        scene: The scene.
        count: Number of cameras; there are fewer if the scene is cramped.
        shape: (height, width) of the images [px].

    Yields:
        (3, 3) intrinsics and (4, 4) camera-to-world pose.
    """
    target = scene.targets[rng.integers(len(scene.targets))]
    starts = rng.uniform(scene.low, scene.high, (16, 3))
    start = starts[np.linalg.norm(starts - target, axis=1).argmax()]
    field_of_view = np.deg2rad(rng.uniform(50, 85))
    found = 0
    for _ in range(count * _MAX_DRAWS):
        matrix = _intrinsics(rng, field_of_view, shape)
        pose = _pose(rng, start, target, scene)
        if _sees_something(scene.scene, matrix, pose, shape):
            yield matrix, pose
            found += 1
        if found == count:
            return


def scaled_intrinsics(
    matrix: np.ndarray, shape: tuple[int, int], to_shape: tuple[int, int]
) -> np.ndarray:
    """Return the intrinsics (3, 3) of an image that is resized with its outer edges kept.

    Args:
        matrix: (3, 3) intrinsics.
        shape: (height, width) of the image.
        to_shape: (height, width) of the resized image.
    """
    x, y = to_shape[1] / shape[1], to_shape[0] / shape[0]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]]) @ matrix


def _intrinsics(
    rng: np.random.Generator, field_of_view: float, shape: tuple[int, int]
) -> np.ndarray:
    height, width = shape
    focal = width / 2 / np.tan(field_of_view / 2) * 2.0 ** rng.normal(0, 0.12)
    center = rng.normal(((width - 1) / 2, (height - 1) / 2), 0.01 * width)
    return np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1]])


def _pose(
    rng: np.random.Generator, start: np.ndarray, target: np.ndarray, scene: RandomScene
) -> np.ndarray:
    distance = np.linalg.norm(start - target)
    nearer = MAX_SCALE_CHANGE ** -rng.uniform(0, 1)
    spread = np.minimum(0.2 * distance * nearer, 0.4 * (scene.high - scene.low))
    position = target + (start - target) * nearer + rng.normal(0, spread)
    position = np.clip(position, scene.low, scene.high)
    x, y, z = target + rng.normal(0, 0.12 * distance * nearer, 3) - position
    roll = rng.normal(0, 12) if rng.random() >= 0.1 else rng.uniform(-180, 180)
    pose = np.eye(4)
    pose[:3, :3] = rotation(np.arctan2(x, z), -np.arctan2(y, np.hypot(x, z)), np.deg2rad(roll))
    pose[:3, 3] = position
    return pose


def _sees_something(
    scene: Scene, matrix: np.ndarray, pose: np.ndarray, shape: tuple[int, int]
) -> bool:
    height, width = small = (max(1, shape[0] // _COARSE), max(1, shape[1] // _COARSE))
    depth = draw_depth(scene, scaled_intrinsics(matrix, shape, small), pose, width, height)
    return bool(
        (np.quantile(depth, (0.05, 0.25)) > MIN_DEPTHS).all() and np.isfinite(depth).mean() > 0.98
    )
