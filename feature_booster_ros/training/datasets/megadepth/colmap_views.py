# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The images of an undistorted COLMAP model, with what they observe of it, read with pycolmap."""

from __future__ import annotations

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
        name: of the image's file.
        shape: (height, width) in pixels.
        intrinsics: (3, 3), without distortion.
        world_to_camera: (4, 4).
        points: (N,) int64 ids of the points that it observes in front of it, ascending.
        pixels: (N, 2) where.
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
    """The registered images of the model below a folder, by name.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: it has lens distortion, or cannot be read.
    """
    model = _read_model(folder)
    ids = np.array(sorted(model.points3D), np.int64)
    positions = [model.points3D[point].xyz for point in ids.tolist()]
    positions = np.array(positions, np.float64).reshape(-1, 3)
    views = [
        _view(model.images[image_id], model, ids, positions) for image_id in model.reg_image_ids()
    ]
    return sorted(views, key=lambda view: view.name)


def _read_model(folder: Path) -> pycolmap.Reconstruction:
    for model in (folder / name for name in _MODEL_FOLDERS):
        if any((model / f"cameras.{suffix}").is_file() for suffix in ("bin", "txt")):
            try:
                return import_pycolmap().Reconstruction(str(model))
            except (RuntimeError, IndexError) as error:  # of files that are cut off
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
