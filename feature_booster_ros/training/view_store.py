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
from tqdm import tqdm

from ..features import create_extractor
from ..photos import ViewDistribution, change_light, random_homography, read_photo, warp_image

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class ViewStore:
    """Features of P photographs in V views each, at most K of a view, memory-mapped from a folder.

    Attributes:
        shapes: (P, 2) height and width of the photograph and of its views, in pixels.
        homographies: (P, V, 3, 3), pixels of the photograph to pixels of the view.
        counts: (P, V) features of a view.
        geometry: (P, V, K, 4) float32 x, y in pixels, scale, angle in radians.
        descriptors: (P, V, K, B) uint8: packed bits, or SIFT's 128 numbers as OpenCV gives them.
    """

    settings: ViewSettings
    shapes: np.ndarray
    homographies: np.ndarray
    counts: np.ndarray
    geometry: np.ndarray
    descriptors: np.ndarray

    def __len__(self) -> int:
        return len(self.shapes)

    @staticmethod
    def open(
        photos: Sequence[Path], settings: ViewSettings, cache: Path, workers: int = 1
    ) -> ViewStore:
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
        return ViewStore(settings, **arrays)


_Job = tuple[Path, ViewSettings, np.random.SeedSequence]


def _extract(photos: Sequence[Path], settings: ViewSettings, folder: Path, workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        (path, settings, np.random.SeedSequence([settings.seed, number]))
        for number, path in enumerate(photos)
    ]
    results, skipped = [], 0
    for path, result in zip(photos, tqdm(_run(jobs, workers), "views", len(photos)), strict=True):
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
    geometry = np.zeros((settings.views, settings.features, 4), np.float32)
    descriptors = np.zeros((settings.views, settings.features, columns), np.uint8)
    for view in range(settings.views):
        image, mask = photo, None
        if view > 0:
            homographies[view] = random_homography(rng, photo.shape, settings.distribution)
            image, mask = warp_image(photo, homographies[view])
            image = change_light(rng, image)
        features = extractor(image, mask)
        count = counts[view] = len(features)
        geometry[view, :count] = np.column_stack(
            [features.keypoints, features.scales, features.angles]
        )
        descriptors[view, :count] = (
            features.descriptors
            if features.is_binary
            else np.rint(features.descriptors * SIFT_UNIT).clip(0, 255)
        )
    if (counts >= 16).sum() < 2:
        return None
    return np.array(photo.shape, np.int32), homographies, counts, geometry, descriptors


SIFT_UNIT = 512.0
"""OpenCV's SIFT has rows of about this length, of integers up to 255; so stored they lose nothing.
"""


def default_workers() -> int:
    """One process a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
