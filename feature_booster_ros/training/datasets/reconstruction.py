# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make training pairs from a folder of images by a sparse reconstruction of our features.

The features of one track show one point, so no depth map is needed. pycolmap (BSD) does the
geometry: verification and incremental mapping (Schoenberger and Frahm, "Structure-from-Motion
Revisited", CVPR 2016).
"""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...camera import Camera
from ...colmap import database as colmap_database
from ...colmap.conventions import import_pycolmap
from ...colmap.mapping import MIN_MODEL_IMAGES, map_incrementally
from ...features import Extractor, Features, create_extractor
from ...matching import match
from ...photos import find_photos
from ...pixels import read_gray, shrink
from ...progress import Progress
from ...sources.calibration import resolve_camera
from .posed_views import PosedViewsWriter
from .sparse_tracks import ExtractedImage, overlapping_pairs, registered_names, tracked_views

if TYPE_CHECKING:
    import pycolmap


logger = logging.getLogger(__name__)

TRACKS_FILE = "tracks.h5"
MIN_MATCHES = 15
"""Pairs of images with fewer matches are not verified: chance gives as many."""

EXHAUSTIVE_LIMIT = 60
"""Most images of which every pair is matched."""
NEIGHBORS = 10
"""Images after an image, by name, with which it is matched in a larger collection."""
CANDIDATES = 20
"""Most similar images with which an image is matched in a larger collection."""
COARSE_FEATURES = 200
"""Features of the coarsest scale that decide the similarity of images."""
MIN_COARSE_MATCHES = 4
"""Least number of matches of these features of similar images."""


@dataclass(frozen=True)
class ModelSummary:
    """Summary of one connected part of a reconstruction.

    Attributes:
        images: Number of registered images.
        points: Number of points.
        reprojection_error: Mean reprojection error, in pixels of the image files.
        pairs: Number of pairs of images to train on.
    """

    images: int
    points: int
    reprojection_error: float
    pairs: int


@dataclass(frozen=True)
class ReconstructionSummary:
    """Summary of :func:`reconstruct`.

    Attributes:
        images: Number of images in the folder.
        registered: Number of images whose pose was found.
        matched_pairs: Number of pairs of images with a two-view geometry.
        models: Summaries of the models.
        tracks_path: File of the views and tracks.
    """

    images: int
    registered: int
    matched_pairs: int
    models: tuple[ModelSummary, ...]
    tracks_path: Path

    def __str__(self) -> str:
        lines = [
            f"{self.registered} of {self.images} images reconstructed, in "
            f"{len(self.models)} model{'s' * (len(self.models) > 1)}; "
            f"{self.matched_pairs} pairs of images matched"
        ]
        lines += [
            f"  model {number}: {model.images} images, {model.points} points, mean reprojection "
            f"error {model.reprojection_error:.2f} px, {model.pairs} pairs to train on"
            for number, model in enumerate(self.models)
        ]
        return "\n".join([*lines, f"written to {self.tracks_path}"])


def reconstruct(
    images: str | PathLike,
    output: str | PathLike,
    detector: str = "sift",
    max_features: int = 4096,
    camera: Camera | str | PathLike | None = None,
    shared_camera: bool = False,
    longest_side: int = 1600,
    kept_features: int = 1024,
    min_overlap: float = 0.1,
    ratio: float = 0.8,
    threads: int = -1,
    device: str = "auto",
) -> ReconstructionSummary:
    """Reconstruct a folder of images of one scene, and store its views and tracks.

    Args:
        images: Folder, searched with its subfolders; the images follow one another in the order of
            their names.
        output: Folder to make, or an empty one. It gets ``tracks.h5`` (:mod:`.posed_views`), the
            COLMAP models ``sparse/0`` and on, and COLMAP's ``database.db``.
        detector: Name of the extractor.
        max_features: Most features of an image to reconstruct with.
        camera: Camera of all images (a calibration file, "fx,fy,cx,cy" in pixels of the files, or a
            :class:`Camera`), or None to estimate the focal length and one coefficient of radial
            distortion.
        shared_camera: Whether one unknown camera with one zoom took all images.
        longest_side: Longest side to which larger images are shrunk before extraction [px].
        kept_features: Most features of a view in ``tracks.h5``.
        min_overlap: Least overlap of a pair: tracks in common over those of the view with fewer.
        ratio: Bound of the ratio test of matches (Lowe, IJCV 2004).
        threads: Threads of COLMAP's bundle adjustment; -1 for all processors.
        device: Device of matching: auto, cpu, cuda or cuda:N.

    Raises:
        FileNotFoundError: There is no such folder, or no image in it.
        ValueError: pycolmap is not installed, ``output`` is not empty, an argument is out of range,
            or nothing could be reconstructed; the message says what to try.
    """
    import_pycolmap()
    camera = resolve_camera(camera)
    folder, output = Path(images), Path(output)
    extractor = create_extractor(detector, max_features)
    if output.exists() and any(output.iterdir()):
        raise ValueError(f"{output} is not empty: give another output, or remove it first")
    extracted = _extract(folder, extractor, longest_side)
    if camera is not None:
        _check_sizes(extracted, camera)
    output.mkdir(parents=True, exist_ok=True)
    database, tracks_path = output / "database.db", output / TRACKS_FILE
    names = [image.name for image in extracted]
    ids = colmap_database.import_images(database, folder, names, camera, shared_camera)
    by_id = {ids[image.name]: image for image in extracted}
    colmap_database.write_keypoints(
        database, {image_id: image.file_keypoints() for image_id, image in by_id.items()}
    )
    matches = _match(by_id, ratio, device)
    colmap_database.write_matches(database, matches)
    verified = colmap_database.verify_matches(database, list(matches)) if matches else 0
    logger.info("%d pairs of images matched, %d verified", len(matches), verified)
    models = map_incrementally(database, folder, output / "sparse", camera is not None, threads)
    if not models:
        shutil.rmtree(output)  # Not empty, it would be in the way of the next try.
        raise ValueError(
            f"nothing could be reconstructed of the {len(extracted)} images in {folder}: "
            f"{verified} pairs of them match. Try images that overlap by more than half and were "
            "taken from different places (not by turning on the spot), more --max-features, a "
            "larger --longest-side, --ratio 0.9, or the camera's calibration (--camera)"
        )
    with PosedViewsWriter(tracks_path, detector) as writer:
        summaries = tuple(
            _write(writer, f"{folder.resolve().name}_{number}", model, by_id, kept_features,
                   min_overlap)
            for number, model in enumerate(models)
        )  # fmt: skip
    registered = len(registered_names(models, by_id))
    return ReconstructionSummary(len(extracted), registered, verified, summaries, tracks_path)


def _extract(folder: Path, extractor: Extractor, longest_side: int) -> list[ExtractedImage]:
    """Extract the features of the images that can be read."""
    extracted = []
    for path in Progress(find_photos(folder), "features"):
        try:
            full = read_gray(path)
        except ValueError as error:
            logger.warning("left out: %s", error)
            continue
        image, _ = shrink(full, longest_side)
        name = path.relative_to(folder).as_posix()
        extracted.append(ExtractedImage(name, extractor(image), image.shape, full.shape))
    if len(extracted) < MIN_MODEL_IMAGES:
        raise ValueError(
            f"{folder} has {len(extracted)} images that can be read: three are the least "
            "to reconstruct from, and some ten are better"
        )
    return extracted


def _check_sizes(images: list[ExtractedImage], camera: Camera) -> None:
    expected = (camera.height, camera.width) if camera.width else images[0].file_shape
    for image in images:
        if image.file_shape != expected:
            raise ValueError(
                f"{image.name} has {image.file_shape[1]} x {image.file_shape[0]} pixels, but the "
                f"camera {expected[1]} x {expected[0]}: give images of that camera only, or no "
                "camera"
            )


def _match(
    images: dict[int, ExtractedImage], ratio: float, device: str
) -> dict[tuple[int, int], np.ndarray]:
    """Return the indices (M, 2) of the features that match, by pair of image ids."""
    ids = sorted(images, key=lambda image_id: images[image_id].name)
    features = [images[image_id].features for image_id in ids]
    matches = {}
    for first, second in Progress(choose_pairs(features, ratio, device), "matches"):
        found = match(features[first], features[second], ratio=ratio, device=device).indices
        if len(found) >= MIN_MATCHES:
            matches[ids[first], ids[second]] = found
    return matches


def _write(
    writer: PosedViewsWriter,
    scene: str,
    model: pycolmap.Reconstruction,
    images: dict[int, ExtractedImage],
    kept_features: int,
    min_overlap: float,
) -> ModelSummary:
    views = tracked_views(model, images, kept_features)
    for name, tracked in views.items():
        writer.add(scene, name, tracked.view)
    pairs, overlaps = overlapping_pairs(views, min_overlap)
    if pairs:
        writer.add_pairs(scene, pairs, overlaps)
    return ModelSummary(
        model.num_reg_images(),
        model.num_points3D(),
        model.compute_mean_reprojection_error(),
        len(pairs),
    )


def choose_pairs(features: Sequence[Features], ratio: float, device: str) -> list[tuple[int, int]]:
    """Choose the pairs (i, j), i < j, of images to match, in order.

    In a small collection these are all pairs. In a larger one they are the images that follow one
    another, and for each image those with most matches among the features of the coarsest scale,
    which are few and visible from afar (preemptive matching: Wu, "Towards Linear-Time Incremental
    Structure from Motion", 3DV 2013). This works for any descriptor, without a vocabulary.

    Args:
        features: Features of the images, in the order in which the images were taken, if any.
        ratio: Bound of the ratio test.
        device: Device of matching.
    """
    count = len(features)
    if count <= EXHAUSTIVE_LIMIT:
        return list(itertools.combinations(range(count), 2))
    pairs = {
        (first, second)
        for first in range(count)
        for second in range(first + 1, min(first + 1 + NEIGHBORS, count))
    }
    return sorted(pairs | _look_alike(features, ratio, device))


def _look_alike(features: Sequence[Features], ratio: float, device: str) -> set[tuple[int, int]]:
    count = len(features)
    coarse = [
        each.select(np.argsort(-each.scales, kind="stable")[:COARSE_FEATURES]) for each in features
    ]
    shared = np.zeros((count, count), np.int32)
    total = count * (count - 1) // 2
    for first, second in Progress(itertools.combinations(range(count), 2), "retrieval", total):
        matches = match(coarse[first], coarse[second], ratio=ratio, device=device)
        shared[first, second] = shared[second, first] = len(matches)
    best = np.argsort(-shared, axis=1, kind="stable")[:, :CANDIDATES]
    return {
        (min(first, second), max(first, second))
        for first in range(count)
        for second in best[first].tolist()
        if shared[first, second] >= MIN_COARSE_MATCHES
    }
