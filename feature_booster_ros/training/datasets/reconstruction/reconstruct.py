# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training pairs from a folder of one's own images: a sparse reconstruction of our own features.

What structure from motion puts into one track shows one point, so that no depth map is needed.
pycolmap (BSD) does the geometry: verification and incremental mapping (Schoenberger and Frahm,
"Structure-from-Motion Revisited", CVPR 2016).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from ....colmap import database as colmap_database
from ....colmap.conventions import import_pycolmap
from ....colmap.mapping import SMALLEST_MODEL, map_incrementally
from ....features import Extractor, create_extractor
from ....matching import match
from ....photos import find_photos
from ....pixels import read_gray, shrink
from ....progress import Progress
from ....sources.calibration import resolve_camera
from ....sources.frame import Camera
from ..posed_views import PosedViewsWriter
from .image_pairs import choose_pairs
from .sparse_tracks import ExtractedImage, overlapping_pairs, registered_names, tracked_views

if TYPE_CHECKING:
    import pycolmap

logger = logging.getLogger(__name__)

TRACKS_FILE = "tracks.h5"
FEWEST_MATCHES = 15
"""Fewer matches of a pair of images are not verified: chance gives as many."""


@dataclass(frozen=True)
class ModelSummary:
    """One connected part of what was reconstructed."""

    images: int
    points: int
    reprojection_error: float
    """Mean, in pixels of the image files."""
    pairs: int
    """Pairs of images to train on."""


@dataclass(frozen=True)
class ReconstructionSummary:
    """What :func:`reconstruct` made of a folder."""

    images: int
    """In the folder."""
    registered: int
    """Images of which the camera's pose was found."""
    matched_pairs: int
    """Pairs of images with a two-view geometry."""
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
    """Reconstructs a folder of images of one scene, and stores its views and tracks.

    Args:
        images: folder, searched with its subfolders, by whose names' order the images follow one
            another.
        output: folder to be made, or empty: gets ``tracks.h5`` (a file of :class:`PosedViews`),
            the COLMAP models ``sparse/0`` and on, and COLMAP's ``database.db``.
        detector: of the features.
        max_features: of an image, to reconstruct with.
        camera: that took all the images (a calibration file, "fx,fy,cx,cy" in pixels of the files,
            or a :class:`Camera`); None to find out the focal length and one coefficient of radial
            distortion.
        shared_camera: one unknown camera took all the images, at one zoom; False: each has its own.
        longest_side: larger images are shrunk to it before their features are extracted, in pixels.
        kept_features: of a view, in ``tracks.h5``.
        min_overlap: shared tracks, as a share of those of the view that has fewer, of a pair.
        ratio: of the ratio test on matches (Lowe, IJCV 2004).
        threads: of COLMAP's bundle adjustment; -1 for all processors.
        device: where to match: auto, cpu, cuda or cuda:N.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: pycolmap is not installed, ``output`` is not empty, an option is not possible,
            or nothing could be reconstructed: the message says what to try.
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
    """The images that can be read, with their features."""
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
    if len(extracted) < SMALLEST_MODEL:
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
) -> dict[tuple[int, int], object]:
    """Indices (M, 2) of the features that match, by pair of image ids."""
    ids = sorted(images, key=lambda image_id: images[image_id].name)
    features = [images[image_id].features for image_id in ids]
    matches = {}
    for first, second in Progress(choose_pairs(features, ratio, device), "matches"):
        found = match(features[first], features[second], ratio=ratio, device=device).indices
        if len(found) >= FEWEST_MATCHES:
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
