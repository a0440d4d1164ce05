# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of warped views of photographs, whose features are extracted once.

Extraction takes several times as long as a training step. V views of a photograph make
V (V - 1) / 2 pairs, so views are extracted instead of pairs.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ...features import Features, create_extractor
from ...features.extractor import extractor_class
from ...photos import (
    ViewDistribution,
    change_light,
    random_homography,
    read_photo,
    warp_image,
)
from ...progress import Progress
from .descriptor_storage import restore_descriptors, storage_type, store_descriptors
from .pairs import MIN_FEATURES, PairSource, ViewGroup, seen_through
from .workers import WorkerPool

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ViewSettings:
    """Settings of the views' features; when one changes, the features are extracted again."""

    detector: str
    views: int = 8
    """Number of views of a photograph; the first is the photograph itself."""
    features: int = 768
    """Most features of a view."""
    longest_side: int = 480
    """Longest side to which larger photographs are shrunk [px]."""
    seed: int = 0
    distribution: ViewDistribution = ViewDistribution()


@dataclass(frozen=True, eq=False)
class PhotoViews(PairSource):
    """Features of P photographs in V views each, at most K of a view, memory-mapped from a folder.

    Attributes:
        detector: Name of the extractor.
        shapes: (P, 2) height and width of the photograph and of its views [px].
        homographies: (P, V, 3, 3) from pixels of the photograph to pixels of the view.
        counts: (P, V) number of features of a view.
        geometry: (P, V, K, 5) float32 x, y [px], scale, angle [rad], score.
        descriptors: (P, V, K, B) from :func:`store_descriptors`.
        views_per_draw: Number of views that are drawn at a time.
    """

    detector: str
    shapes: np.ndarray
    homographies: np.ndarray
    counts: np.ndarray
    geometry: np.ndarray
    descriptors: np.ndarray
    views_per_draw: int = 2

    def __len__(self) -> int:
        return len(self.shapes)

    def draw(self, rng: np.random.Generator) -> ViewGroup | None:
        """Draw some views of a photograph, or fewer if it has fewer with enough features."""
        photo = int(rng.integers(len(self)))
        usable = np.flatnonzero(self.counts[photo] >= MIN_FEATURES)
        if len(usable) < 2:
            return None
        count = min(self.views_per_draw, len(usable))
        return self.group(photo, rng.choice(usable, count, replace=False).tolist())

    def group(self, photo: int, views: Sequence[int]) -> ViewGroup:
        """Return given views of a photograph."""
        features = tuple(self.features(photo, view) for view in views)

        def seen_at(first: int, second: int) -> np.ndarray:
            of_first, of_second = (self.homographies[photo, views[n]] for n in (first, second))
            return seen_through(features[first].keypoints, of_second @ np.linalg.inv(of_first))

        height, width = self.shapes[photo].tolist()
        return ViewGroup(
            features,
            ((height, width),) * len(views),
            tuple(
                (seen_at(first, second), seen_at(second, first))
                for first, second in itertools.combinations(range(len(views)), 2)
            ),
        )

    def features(self, photo: int, view: int) -> Features:
        """Return the features of one view."""
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
        photos: Sequence[Path],
        settings: ViewSettings,
        cache: Path,
        workers: int = 1,
        views_per_draw: int = 2,
    ) -> PhotoViews:
        """Open the features of photographs in ``cache``, or extract them into it first.

        A photograph that cannot be read, or has too few features, is left out and counted.

        Raises:
            ValueError: No photograph is left.
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
        return PhotoViews(settings.detector, **arrays, views_per_draw=views_per_draw)


_Job = tuple[Path, ViewSettings, np.random.SeedSequence]


def _extract(photos: Sequence[Path], settings: ViewSettings, folder: Path, workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        (path, settings, np.random.SeedSequence([settings.seed, number]))
        for number, path in enumerate(photos)
    ]
    results, skipped = [], 0
    with WorkerPool(workers) as pool:
        progress = Progress(pool.map(_photo_views, jobs), "views", len(photos))
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
    # Written last: a folder without it is incomplete, and is written again.
    (folder / "complete").touch()


def _photo_views(job: _Job) -> tuple[np.ndarray, ...] | None:
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
    if (counts >= MIN_FEATURES).sum() < 2:
        return None
    return np.array(photo.shape, np.int32), homographies, counts, geometry, descriptors
