# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features of many warped views of every photograph, extracted once and paired at will.

Extraction costs several times what a training step does. With V views of a photograph there are
V (V - 1) / 2 pairs, so extracting views instead of pairs makes it cheap.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from ...features import Features, create_extractor
from ...features.extractor import extractor_class
from ...photos import (
    ViewDistribution,
    change_light,
    random_homography,
    read_photo,
    warp_image,
    warp_points,
)
from ...progress import Progress
from .descriptor_storage import restore_descriptors, storage_type, store_descriptors
from .feature_pair import NOWHERE, FeaturePair, PairSource

logger = logging.getLogger(__name__)

FEWEST_FEATURES = 16
"""A view with fewer is not used."""


@dataclass(frozen=True)
class ViewSettings:
    """What decides the views' features; a store is made anew when any of it changes."""

    detector: str
    views: int = 8
    """Views of a photograph; the first is the photograph itself."""
    features: int = 768
    """Largest number of features kept of a view."""
    longest_side: int = 480
    """Photographs larger than this are shrunk to it, in pixels."""
    seed: int = 0
    distribution: ViewDistribution = ViewDistribution()


@dataclass(frozen=True, eq=False)
class PhotoViews(PairSource):
    """Features of P photographs in V views each, at most K of a view, memory-mapped from a folder.

    Attributes:
        shapes: (P, 2) height and width of the photograph and of its views, in pixels.
        homographies: (P, V, 3, 3), pixels of the photograph to pixels of the view.
        counts: (P, V) features of a view.
        geometry: (P, V, K, 5) float32 x, y in pixels, scale, angle in radians, score.
        descriptors: (P, V, K, B) as :func:`store_descriptors` gives them.
    """

    settings: ViewSettings
    shapes: np.ndarray
    homographies: np.ndarray
    counts: np.ndarray
    geometry: np.ndarray
    descriptors: np.ndarray

    @property
    def detector(self) -> str:
        return self.settings.detector

    def __len__(self) -> int:
        return len(self.shapes)

    def draw(self, rng: np.random.Generator) -> FeaturePair | None:
        """Two views of a photograph."""
        photo = rng.integers(len(self))
        usable = np.flatnonzero(self.counts[photo] >= FEWEST_FEATURES)
        if len(usable) < 2:
            return None
        return self.pair(photo, *rng.choice(usable, 2, replace=False))

    def pair(self, photo: int, first: int, second: int) -> FeaturePair:
        """Two given views of a photograph."""
        features = self.features(photo, first), self.features(photo, second)
        between = self.homographies[photo, second] @ np.linalg.inv(self.homographies[photo, first])
        seen_at = tuple(
            np.nan_to_num(
                warp_points(view.keypoints.astype(np.float64), homography), nan=NOWHERE
            ).astype(np.float32)
            for view, homography in zip(features, (between, np.linalg.inv(between)), strict=True)
        )
        shape = tuple(int(side) for side in self.shapes[photo])
        return FeaturePair(features, (shape, shape), seen_at)

    def features(self, photo: int, view: int) -> Features:
        """The features of one view."""
        count = self.counts[photo, view]
        rows = np.array(self.geometry[photo, view, :count])
        is_binary = extractor_class(self.detector).is_binary
        return Features(
            rows[:, :2],
            rows[:, 2],
            rows[:, 3],
            rows[:, 4],
            restore_descriptors(np.array(self.descriptors[photo, view, :count]), is_binary),
        )

    @staticmethod
    def open(
        photos: Sequence[Path], settings: ViewSettings, cache: Path, workers: int = 1
    ) -> PhotoViews:
        """The store of these photographs, from ``cache``, or extracted into it first.

        A photograph that cannot be read, or is too plain to have features, is left out and counted.

        Raises:
            ValueError: no photograph is left.
        """
        key = json.dumps([asdict(settings), [str(path) for path in photos]])
        folder = (
            cache / f"views-{settings.detector}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        )
        if not (folder / "complete").is_file():
            _extract(photos, settings, folder, workers)
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r")
            for name in ("shapes", "homographies", "counts", "geometry", "descriptors")
        }
        return PhotoViews(settings, **arrays)


_Job = tuple[Path, ViewSettings, np.random.SeedSequence]


def _extract(photos: Sequence[Path], settings: ViewSettings, folder: Path, workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        (path, settings, np.random.SeedSequence([settings.seed, number]))
        for number, path in enumerate(photos)
    ]
    results, skipped = [], 0
    progress = Progress(_run(jobs, workers), "views", len(photos))
    for path, result in zip(photos, progress, strict=True):
        if result is None:
            skipped += 1
            logger.warning(
                "left out %s: it cannot be read, or fewer than two views have 16 features", path
            )
        else:
            results.append(result)
    if not results:
        raise ValueError(f"none of the {len(photos)} photographs can be used")
    logger.info("%d photographs, %d left out", len(results), skipped)
    names = ("shapes", "homographies", "counts", "geometry", "descriptors")
    for name, arrays in zip(names, zip(*results, strict=True), strict=True):
        np.save(folder / f"{name}.npy", np.stack(arrays))
    (folder / "settings.json").write_text(json.dumps(asdict(settings), indent=1))
    # Written last: a folder without it was cut off and is made anew.
    (folder / "complete").touch()


def _run(jobs: list[_Job], workers: int) -> Iterator[tuple[np.ndarray, ...] | None]:
    if workers <= 1:
        yield from map(_photo_views, jobs)
        return
    # Spawned and not forked: a fork of a process whose OpenCV has threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, cv2.setNumThreads, (1,)) as pool:
        yield from pool.map(_photo_views, jobs, chunksize=4)


def _photo_views(
    job: _Job,
) -> tuple[np.ndarray, ...] | None:
    path, settings, seed = job
    photo = read_photo(path, settings.longest_side)
    if photo is None or min(photo.shape) < 64:
        return None
    rng = np.random.default_rng(seed)
    extractor = create_extractor(settings.detector, settings.features)
    columns = extractor.descriptor_length // (8 if extractor.is_binary else 1)
    homographies = np.tile(np.eye(3), (settings.views, 1, 1))
    counts = np.zeros(settings.views, np.int32)
    geometry = np.zeros((settings.views, settings.features, 5), np.float32)
    descriptors = np.zeros(
        (settings.views, settings.features, columns),
        storage_type(settings.detector, extractor.is_binary),
    )
    for view in range(settings.views):
        image, mask = photo, None
        if view > 0:
            homographies[view] = random_homography(rng, photo.shape, settings.distribution)
            image, mask = warp_image(photo, homographies[view])
            image = change_light(rng, image, settings.distribution.motion_blur)
        features = extractor(image, mask)
        count = counts[view] = len(features)
        geometry[view, :count] = np.column_stack(
            [features.keypoints, features.scales, features.angles, features.scores]
        )
        descriptors[view, :count] = store_descriptors(features.descriptors, settings.detector)
    if (counts >= FEWEST_FEATURES).sum() < 2:
        return None
    return np.array(photo.shape, np.int32), homographies, counts, geometry, descriptors


def default_workers() -> int:
    """One process a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
