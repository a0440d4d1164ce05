# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read the .npz file of a scene of MegaDepth, in D2-Net's format (Dusmanu et al., CVPR 2019).

It has these arrays for V images; an image that is left out has None.

==========================  ====================================================================
``image_paths``             (V,) str or None, below the data's folder
``depth_paths``             (V,) str or None, below the data's folder
``intrinsics``              (V,) of (3, 3) or None
``poses``                   (V,) of (4, 4) world to camera, or None
``points3D_id_to_2D``       (V,) of {point id: [x, y]}
``points3D_id_to_ndepth``   (V,) of {point id: depth over the mean focal length}
``overlap_matrix``          (V, V) share of the row's points that the column shows too, or -1
``scale_ratio_matrix``      (V, V) least change of scale at a shared point, or -1
``angles``                  (V, V) between the optical axes [deg]
``n_points3D``              (V,) number of points that an image shows
==========================  ====================================================================

Pixels in the file are COLMAP's, with the center of the top-left one at (0.5, 0.5); those of
:class:`SceneView` have it at (0, 0).

The dicts are pickled: read only files from a source that you trust.
"""

from __future__ import annotations

import logging
import pickle
import zipfile
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from ....colmap.conventions import COLMAP_CENTER
from ....errors import read_text
from ....progress import Progress

logger = logging.getLogger(__name__)

_KEYS = (
    "image_paths",
    "depth_paths",
    "intrinsics",
    "poses",
    "overlap_matrix",
    "points3D_id_to_2D",
    "points3D_id_to_ndepth",
)


@dataclass(frozen=True, eq=False)
class SceneView:
    """An image of a scene.

    Attributes:
        image_path: Path below the data's folder.
        depth_path: Path below the data's folder, or None.
        camera_matrix: (3, 3) intrinsics without distortion [px].
        pose: (4, 4) camera to world.
        points: (N,) int64 ids of the points that the image observes, ascending.
        pixels: (N, 2) float32 pixels that show the points.
        depths: (N,) float32 z of the points in the camera.
    """

    image_path: str
    depth_path: str | None
    camera_matrix: np.ndarray
    pose: np.ndarray
    points: np.ndarray
    pixels: np.ndarray
    depths: np.ndarray


@dataclass(frozen=True, eq=False)
class MegaDepthScene:
    """The pairs of images of a scene.

    Attributes:
        name: Name of the scene.
        views: Images by number; only those of pairs.
        pairs: (P, 2) numbers of images.
        overlaps: (P,) share of the first image's points that the second shows too.
    """

    name: str
    views: dict[int, SceneView]
    pairs: np.ndarray
    overlaps: np.ndarray


def read_scene_list(path: str | PathLike) -> list[str]:
    """Return the names of scenes in a text file, one a line, each once.

    Empty lines, and text after a #, do not count.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file names no scene.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no list of scenes at {path}")
    lines = [line.split("#")[0].strip() for line in read_text(path).splitlines()]
    names = list(dict.fromkeys(line for line in lines if line))
    if not names:
        raise ValueError(f"{path} names no scene: write one a line, such as 0015")
    return names


def find_scene_files(
    scene_list_path: str | PathLike, scene_info_path: str | PathLike
) -> list[Path]:
    """Return the files of the scenes of a list; a scene without one is left out, with a warning.

    Raises:
        FileNotFoundError: There is no such list, or no file of any of its scenes.
        ValueError: The list names no scene.
    """
    folder = Path(scene_info_path)
    paths = [folder / f"{name}.npz" for name in read_scene_list(scene_list_path)]
    missing = [path.stem for path in paths if not path.is_file()]
    if len(missing) == len(paths):
        raise FileNotFoundError(
            f"{folder} has no .npz of the {len(paths)} scenes of {scene_list_path}: "
            "make them with feature-booster prepare-megadepth"
        )
    if missing:
        logger.warning("left out %d scenes without .npz: %s", len(missing), ", ".join(missing))
    return [path for path in paths if path.is_file()]


def read_scenes(
    scene_list_path: str | PathLike,
    scene_info_path: str | PathLike,
    min_overlap: float,
    max_overlap: float,
) -> list[MegaDepthScene]:
    """Return the scenes of a list that have pairs; others are left out, with a warning.

    Raises:
        FileNotFoundError: There is no such list, or no file of any of its scenes.
        ValueError: No scene has a pair.
    """
    scenes = []
    for path in Progress(find_scene_files(scene_list_path, scene_info_path), "scenes"):
        try:
            scene = read_scene(path, min_overlap, max_overlap)
        except ValueError as error:
            logger.warning("left out a scene: %s", error)
            continue
        if len(scene.pairs):
            scenes.append(scene)
        else:
            logger.warning("left out scene %s: no pair overlaps by that much", scene.name)
    if not scenes:
        raise ValueError(
            f"no scene of {scene_list_path} has a pair of images that overlap by "
            f"{min_overlap} to {max_overlap}: widen that range"
        )
    return scenes


def read_scene(path: Path, min_overlap: float, max_overlap: float) -> MegaDepthScene:
    """Return the pairs of a scene whose overlap lies within bounds.

    The overlap is not symmetric, so each order of two images counts as a pair.

    Raises:
        ValueError: The file cannot be read, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=True) as file:
            arrays = {key: file[key] for key in _KEYS}
    except KeyError as error:
        raise ValueError(
            f"{path} lacks {error}: make it again with feature-booster prepare-megadepth"
        ) from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    overlaps = arrays["overlap_matrix"]
    usable = np.array([each is not None for each in arrays["image_paths"]], bool)
    valid = (overlaps > 0) & (overlaps >= min_overlap) & (overlaps <= max_overlap)
    pairs = np.argwhere(valid & usable[:, None] & usable[None])
    views = {number: _view(arrays, number) for number in np.unique(pairs).tolist()}
    return MegaDepthScene(path.stem, views, pairs.astype(np.int32), overlaps[tuple(pairs.T)])


def _view(arrays: dict[str, np.ndarray], number: int) -> SceneView:
    matrix = np.array(arrays["intrinsics"][number], np.float64)
    focal_length = (matrix[0, 0] + matrix[1, 1]) / 2
    matrix[:2, 2] -= COLMAP_CENTER
    observed = arrays["points3D_id_to_2D"][number]
    points = np.sort(np.fromiter(observed, np.int64, len(observed)))
    pixels = np.array([observed[point] for point in points.tolist()], np.float32).reshape(-1, 2)
    ndepths = arrays["points3D_id_to_ndepth"][number]
    depths = np.array([ndepths[point] for point in points.tolist()]) * focal_length
    depth_path = arrays["depth_paths"][number]
    return SceneView(
        str(arrays["image_paths"][number]),
        None if depth_path is None else str(depth_path),
        matrix,
        np.linalg.inv(np.array(arrays["poses"][number], np.float64).reshape(4, 4)),
        points,
        pixels - np.float32(COLMAP_CENTER),
        depths.astype(np.float32),
    )
