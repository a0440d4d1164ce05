# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read the images of an undistorted COLMAP model and the points that they observe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ....colmap.conventions import import_pycolmap, world_to_camera

if TYPE_CHECKING:
    import pycolmap


_MODEL_FOLDERS = ("sparse", "sparse-txt", "sparse/0")


@dataclass(frozen=True, eq=False)
class ColmapView:
    """An image of a model, in COLMAP's pixels: the center of the top-left one is at (0.5, 0.5).

    Attributes:
        name: Name of the image file.
        shape: (height, width) [px].
        intrinsics: (3, 3), without distortion.
        world_to_camera: (4, 4).
        points: (N,) int64 ids of the observed points in front of the camera, ascending.
        pixels: (N, 2) pixels that show the points.
        depths: (N,) z of the points in the camera.
    """

    name: str
    shape: tuple[int, int]
    intrinsics: np.ndarray
    world_to_camera: np.ndarray
    points: np.ndarray
    pixels: np.ndarray
    depths: np.ndarray

    @property
    def ndepths(self) -> np.ndarray:
        """(N,) depths over the mean focal length: the size of a pixel at the point."""
        return self.depths / ((self.intrinsics[0, 0] + self.intrinsics[1, 1]) / 2)


def read_views(folder: Path) -> list[ColmapView]:
    """Return the registered images of the model in a folder, in the order of their names.

    Raises:
        FileNotFoundError: There is no model.
        ValueError: The model has lens distortion, or cannot be read.
    """
    model = _read_model(folder)
    ids = np.array(sorted(model.points3D), np.int64)
    positions = np.array([model.points3D[point].xyz for point in ids.tolist()], np.float64).reshape(
        -1, 3
    )
    views = [
        _view(model.images[image_id], model, ids, positions) for image_id in model.reg_image_ids()
    ]
    return sorted(views, key=lambda view: view.name)


def _read_model(folder: Path) -> pycolmap.Reconstruction:
    for model in (folder / name for name in _MODEL_FOLDERS):
        if any((model / f"cameras.{suffix}").is_file() for suffix in ("bin", "txt")):
            try:
                return import_pycolmap().Reconstruction(str(model))
            except (RuntimeError, IndexError) as error:  # from truncated files
                raise ValueError(f"{model} cannot be read: {error}") from error
    raise FileNotFoundError(f"no COLMAP model in {folder}: looked for {', '.join(_MODEL_FOLDERS)}")


def _view(
    image: pycolmap.Image,
    model: pycolmap.Reconstruction,
    all_points: np.ndarray,
    positions: np.ndarray,
) -> ColmapView:
    camera = model.cameras[image.camera_id]
    if camera.model.name not in ("PINHOLE", "SIMPLE_PINHOLE"):
        raise ValueError(
            f"the model has lens distortion ({camera.model.name}): run colmap image_undistorter"
        )
    pose = world_to_camera(image)
    # A point that is observed twice counts once.
    observed = {point.point3D_id: point.xy for point in image.points2D if point.has_point3D()}
    points = np.array(sorted(observed), np.int64)
    pixels = np.array([observed[point] for point in points.tolist()], np.float64).reshape(-1, 2)
    there = positions[np.searchsorted(all_points, points)]
    depths = there @ pose[2, :3] + pose[2, 3]
    ahead = depths > 0
    return ColmapView(
        image.name,
        (int(camera.height), int(camera.width)),
        np.array(camera.calibration_matrix(), np.float64),
        pose,
        points[ahead],
        pixels[ahead],
        depths[ahead],
    )


@dataclass(frozen=True, eq=False)
class TrackOverlap:
    """The overlap of each of V images with each other.

    Attributes:
        shared: (V, V) int32 number of points that both observe; the diagonal counts an image's own.
        scale_ratios: (V, V) float64 least change of scale at a shared point, at least 1, or -1 for
            no shared point. The scale of a point in an image is the focal length over its depth.
    """

    shared: np.ndarray
    scale_ratios: np.ndarray

    @property
    def overlaps(self) -> np.ndarray:
        """(V, V) float64 share of the points of the row's image that the column's observes too.

        It is -1 on the diagonal and for an image without points.
        """
        own = np.diag(self.shared).astype(np.float64)
        overlaps = np.where(own[:, None] > 0, self.shared / np.maximum(own[:, None], 1), -1.0)
        overlaps[:, own == 0] = -1.0
        np.fill_diagonal(overlaps, -1.0)
        return overlaps


def track_overlap(points: Sequence[np.ndarray], depths: Sequence[np.ndarray]) -> TrackOverlap:
    """Compute the overlap of V images from the points that they share.

    The time is proportional to the sum of the squared lengths of the tracks.

    Args:
        points: For each image, (N,) ids of the points that it observes, each once.
        depths: For each image, (N,) depths of its points over its focal length [px].
    """
    count = len(points)
    shared = np.zeros((count, count), np.int32)
    scale_ratios = np.full((count, count), np.inf)
    lengths = [len(ids) for ids in points]
    images = np.repeat(np.arange(count), lengths)
    _, tracks = np.unique(np.concatenate([*points, np.zeros(0, np.int64)]), return_inverse=True)
    tracks = tracks.reshape(-1)
    # Observations by track: those of track t are the rows from start t to start t + 1.
    by_track = np.argsort(tracks, kind="stable")
    starts = np.searchsorted(tracks[by_track], np.arange(tracks.max(initial=-1) + 2))
    track_images = images[by_track]
    track_depths = np.concatenate([*depths, np.zeros(0)])[by_track]
    ends = np.cumsum(lengths)
    for image in range(count):
        own = tracks[ends[image] - lengths[image] : ends[image]]
        observed = starts[own + 1] - starts[own]
        before = np.cumsum(observed) - observed
        rows = np.arange(observed.sum()) + np.repeat(starts[own] - before, observed)
        other = track_images[rows]
        shared[image] = np.bincount(other, minlength=count)
        change = np.repeat(depths[image], observed) / track_depths[rows]
        np.minimum.at(scale_ratios[image], other, np.maximum(change, 1 / change))
    scale_ratios[shared == 0] = -1.0
    np.fill_diagonal(scale_ratios, -1.0)
    return TrackOverlap(shared, scale_ratios)
