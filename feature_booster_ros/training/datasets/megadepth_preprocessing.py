# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MegaDepth's undistorted reconstructions and depth maps, made into one .npz a scene.

The folder is as MegaDepth (Li and Snavely, CVPR 2018) and the undistortion of D2-Net leave it:

    Undistorted_SfM/SCENE/images/...                 (or SfM_v1-undistorted/SCENE/...)
    Undistorted_SfM/SCENE/sparse/*.bin               (or sparse-txt/*.txt)
    phoenix/S6/zl548/MegaDepth_v1/SCENE/dense0/depths/*.h5
"""

from __future__ import annotations

import logging
import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from .depth_maps import read_depth
from .megadepth_scene import read_scene_list
from .reconstruction import import_pycolmap
from .track_overlap import track_overlap

if TYPE_CHECKING:
    import pycolmap

logger = logging.getLogger(__name__)

SFM_FOLDERS = ("Undistorted_SfM", "SfM_v1-undistorted")
DEPTH_FOLDER = "phoenix/S6/zl548/MegaDepth_v1"
_SPARSE_FOLDERS = ("sparse", "sparse-txt", "sparse/0")


@dataclass(frozen=True)
class PreparedScene:
    """What became of one scene.

    Attributes:
        name: of the scene.
        images: with which the scene can be trained.
        left_out: images without, by reason.
        pairs: of images that share points, each order counted.
        error: why there is no file of the scene, or "".
    """

    name: str
    images: int = 0
    left_out: tuple[tuple[str, int], ...] = ()
    pairs: int = 0
    error: str = ""


@dataclass(frozen=True)
class Preparation:
    """What :func:`prepare` made.

    Attributes:
        scenes: that were worked on.
        kept: scenes whose file was there.
        output: folder of the files.
    """

    scenes: tuple[PreparedScene, ...]
    kept: int
    output: Path

    def __str__(self) -> str:
        done = [scene for scene in self.scenes if not scene.error]
        left_out: Counter[str] = Counter()
        for scene in self.scenes:
            left_out.update(dict(scene.left_out))
        lines = [
            f"{len(done)} scenes with {sum(scene.images for scene in done)} images and "
            f"{sum(scene.pairs for scene in done)} pairs that share points; {self.kept} scenes "
            f"were there; {len(self.scenes) - len(done)} left out"
        ]
        lines += [f"  {count} images left out: {reason}" for reason, count in left_out.items()]
        return "\n".join([*lines, f"written to {self.output}"])


def prepare(
    base_path: str | PathLike,
    output: str | PathLike,
    scene_list_path: str | PathLike | None = None,
    workers: int = 1,
) -> Preparation:
    """Makes the .npz of every scene (for its contents see :mod:`.megadepth_scene`).

    A scene whose file is there is not made again, so that a run that was cut off goes on. An image
    whose file or whose depth map is missing or broken is left out; so is a scene without a model.

    Args:
        base_path: MegaDepth's folder.
        output: folder of the files, SCENE.npz.
        scene_list_path: text file with the names of the scenes, one a line; None for all.
        workers: processes, each at one scene.

    Raises:
        FileNotFoundError: there is no such folder or list.
        ValueError: pycolmap or h5py is not installed, or no scene can be used.
    """
    import_pycolmap()
    base, output = Path(base_path), Path(output)
    sfm = _sfm_folder(base)
    if scene_list_path is None:
        names = sorted(folder.name for folder in sfm.iterdir() if folder.is_dir())
    else:
        names = read_scene_list(scene_list_path)
    output.mkdir(parents=True, exist_ok=True)
    jobs = [(base, sfm, name, output) for name in names if not _scene_file(output, name).is_file()]
    scenes = []
    for scene in tqdm(_run(jobs, workers), "scenes", len(jobs)):
        scenes.append(scene)
        if scene.error:
            logger.warning("left out scene %s: %s", scene.name, scene.error)
    if jobs and len(jobs) == len(names) and all(scene.error for scene in scenes):
        raise ValueError(
            f"none of the {len(names)} scenes in {sfm} can be used; the first, {scenes[0].name}: "
            f"{scenes[0].error}"
        )
    return Preparation(tuple(scenes), len(names) - len(jobs), output)


_Job = tuple[Path, Path, str, Path]


def _run(jobs: Sequence[_Job], workers: int) -> Iterator[PreparedScene]:
    if workers <= 1:
        yield from map(_prepare_scene, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        yield from pool.map(_prepare_scene, jobs)


def _prepare_scene(job: _Job) -> PreparedScene:
    """Writes one scene's file."""
    base, sfm, name, output = job
    try:
        model = _read_model(sfm / name)
        images = [model.images[image_id] for image_id in model.reg_image_ids()]
        images.sort(key=lambda image: image.name)
        points = _Points.of(model)
        depths = _depth_folder(base / DEPTH_FOLDER / name, [image.name for image in images])
        views = [
            _describe(base, sfm / name / "images", depths, image, model, points) for image in images
        ]
    # RuntimeError is what pycolmap raises of files that are cut off.
    except (OSError, ValueError, RuntimeError) as error:
        return PreparedScene(name, error=str(error).splitlines()[0])
    left_out = Counter(view for view in views if isinstance(view, str))
    usable = len(views) - left_out.total()
    counts = tuple(left_out.items())
    if usable < 2:
        return PreparedScene(name, 0, counts, error=f"{usable} of {len(views)} images can be used")
    arrays = _scene_arrays(views)
    partial = output / f"{name}.npz.partial"
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    partial.replace(_scene_file(output, name))
    pairs = int((arrays["overlap_matrix"] > 0).sum())
    return PreparedScene(name, usable, counts, pairs)


@dataclass(frozen=True, eq=False)
class _Points:
    """The points of a model: ascending ids (P,) and positions (P, 3) in the world."""

    ids: np.ndarray
    positions: np.ndarray

    @staticmethod
    def of(model: pycolmap.Reconstruction) -> _Points:
        ids = np.array(sorted(model.points3D), np.int64)
        positions = [model.points3D[point].xyz for point in ids.tolist()]
        return _Points(ids, np.array(positions, np.float64).reshape(-1, 3))

    def depths(self, ids: np.ndarray, world_to_camera: np.ndarray) -> np.ndarray:
        """(N,) z of the points of these ids (N,) in a camera."""
        positions = self.positions[np.searchsorted(self.ids, ids)]
        return positions @ world_to_camera[2, :3] + world_to_camera[2, 3]


@dataclass(frozen=True, eq=False)
class _View:
    """An image that can be used, in COLMAP's pixels."""

    image_path: str
    depth_path: str
    intrinsics: np.ndarray
    world_to_camera: np.ndarray
    points: np.ndarray
    pixels: np.ndarray
    ndepths: np.ndarray


def _describe(
    base: Path,
    images: Path,
    depths: Path,
    image: pycolmap.Image,
    model: pycolmap.Reconstruction,
    points: _Points,
) -> _View | str:
    """What is known of an image, or why it cannot be used.

    Raises:
        ValueError: the model has lens distortion.
    """
    camera = model.cameras[image.camera_id]
    intrinsics = _undistorted_intrinsics(camera)
    image_path = images / image.name
    if not image_path.is_file():
        return "no such image file"
    depth_path = _depth_path(depths, image.name)
    try:
        depth = read_depth(depth_path, (camera.height, camera.width))
    except FileNotFoundError:
        return "no depth map"
    except ValueError as error:
        logger.debug("%s", error)
        return "its depth map is broken, of another size, or an order of depths"
    if not depth.any():
        return "its depth map is empty"
    world_to_camera = np.eye(4)
    world_to_camera[:3] = _world_to_camera(image).matrix()
    observed = {point.point3D_id: point.xy for point in image.points2D if point.has_point3D()}
    ids = np.array(sorted(observed), np.int64)
    ndepths = points.depths(ids, world_to_camera) / ((intrinsics[0, 0] + intrinsics[1, 1]) / 2)
    ids, ndepths = ids[ndepths > 0], ndepths[ndepths > 0]
    if len(ids) == 0:
        return "no points of the model"
    return _View(
        image_path.relative_to(base).as_posix(),
        depth_path.relative_to(base).as_posix(),
        intrinsics,
        world_to_camera,
        ids,
        np.array([observed[point] for point in ids.tolist()]),
        ndepths,
    )


def _scene_arrays(views: Sequence[_View | str]) -> dict[str, np.ndarray]:
    """The arrays of :mod:`.megadepth_scene`."""
    known = [view if isinstance(view, _View) else None for view in views]
    none = np.zeros(0, np.int64)
    overlap = track_overlap(
        [none if view is None else view.points for view in known],
        [none if view is None else view.ndepths for view in known],
    )
    axes = np.array(
        [np.full(3, np.nan) if view is None else view.world_to_camera[2, :3] for view in known]
    )

    def objects(values: Iterator[Any]) -> np.ndarray:
        array = np.empty(len(known), object)
        array[:] = list(values)
        return array

    def each(name: str) -> np.ndarray:
        return objects(None if view is None else getattr(view, name) for view in known)

    def by_point(name: str) -> np.ndarray:
        return objects(
            {}
            if view is None
            else dict(zip(view.points.tolist(), getattr(view, name).tolist(), strict=True))
            for view in known
        )

    return {
        "image_paths": each("image_path"),
        "depth_paths": each("depth_path"),
        "intrinsics": each("intrinsics"),
        "poses": each("world_to_camera"),
        "overlap_matrix": overlap.overlaps,
        "scale_ratio_matrix": overlap.scale_ratios,
        "angles": np.rad2deg(np.arccos(np.clip(axes @ axes.T, -1, 1))),
        "n_points3D": np.diag(overlap.shared),
        "points3D_id_to_2D": by_point("pixels"),
        "points3D_id_to_ndepth": by_point("ndepths"),
    }


def _scene_file(output: Path, name: str) -> Path:
    return output / f"{name}.npz"


def _sfm_folder(base: Path) -> Path:
    for name in SFM_FOLDERS:
        if (base / name).is_dir():
            return base / name
    raise FileNotFoundError(
        f"{base} has none of the folders {', '.join(SFM_FOLDERS)}: undistort MegaDepth's "
        "reconstructions into one first (docs/megadepth.md)"
    )


def _depth_folder(scene: Path, images: Sequence[str]) -> Path:
    """The folder of depth maps that has most of the images.

    One for all: each sub-model of a scene (dense0, dense1, ...) has its own unit of length.
    """
    folders = sorted(scene.glob("dense*/depths"))
    if not folders:
        raise FileNotFoundError(f"no depth maps in {scene}/dense*/depths")
    return max(
        folders, key=lambda folder: sum(_depth_path(folder, name).is_file() for name in images)
    )


def _depth_path(folder: Path, image: str) -> Path:
    return (folder / image).with_suffix(".h5")


def _read_model(scene: Path) -> pycolmap.Reconstruction:
    for name in _SPARSE_FOLDERS:
        folder = scene / name
        if any((folder / f"cameras.{suffix}").is_file() for suffix in ("bin", "txt")):
            return import_pycolmap().Reconstruction(str(folder))
    raise FileNotFoundError(f"no COLMAP model in {scene}: looked for {', '.join(_SPARSE_FOLDERS)}")


def _undistorted_intrinsics(camera: pycolmap.Camera) -> np.ndarray:
    """(3, 3) in COLMAP's pixels; ValueError if the camera has lens distortion."""
    if camera.model.name not in ("PINHOLE", "SIMPLE_PINHOLE"):
        raise ValueError(
            f"the model has lens distortion ({camera.model.name}): run colmap image_undistorter"
        )
    return np.array(camera.calibration_matrix(), np.float64)


def _world_to_camera(image: pycolmap.Image) -> pycolmap.Rigid3d:
    pose = image.cam_from_world
    return pose() if callable(pose) else pose  # a method from pycolmap 3.12 on
