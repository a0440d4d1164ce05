# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make one .npz a scene of MegaDepth's undistorted reconstructions and depth maps.

The folder is that of MegaDepth (Li and Snavely, CVPR 2018) after the undistortion of D2-Net:

    Undistorted_SfM/SCENE/images/...                 (or SfM_v1-undistorted/SCENE/...)
    Undistorted_SfM/SCENE/sparse/*.bin               (or sparse-txt/*.txt)
    phoenix/S6/zl548/MegaDepth_v1/SCENE/dense0/depths/*.h5
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ....colmap.conventions import import_pycolmap
from ....progress import Progress
from ..workers import WorkerPool
from .colmap_views import ColmapView, read_views, track_overlap
from .depth_maps import read_depth
from .scene import read_scene_list

logger = logging.getLogger(__name__)

SFM_FOLDERS = ("Undistorted_SfM", "SfM_v1-undistorted")
DEPTH_FOLDER = "phoenix/S6/zl548/MegaDepth_v1"


@dataclass(frozen=True)
class PreparedScene:
    """Summary of one scene.

    Attributes:
        name: Name of the scene.
        images: Number of images to train on.
        left_out: Number of other images, by reason.
        pairs: Number of pairs of images that share points, each order counted.
        error: Reason why there is no file of the scene, or "".
    """

    name: str
    images: int = 0
    left_out: tuple[tuple[str, int], ...] = ()
    pairs: int = 0
    error: str = ""


@dataclass(frozen=True)
class Preparation:
    """Summary of :func:`prepare`.

    Attributes:
        scenes: Scenes that were worked on.
        kept: Number of scenes whose file existed.
        output: Folder of the files.
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
    """Write the .npz file of every scene, whose contents are those of :mod:`.scene`.

    A scene whose file exists is skipped, so that an interrupted run can be continued. An image
    whose file or whose depth map is missing or broken is left out; so is a scene without a model.

    Args:
        base_path: MegaDepth's folder.
        output: Folder of the files, SCENE.npz.
        scene_list_path: Text file with the names of the scenes, one a line, or None for all.
        workers: Number of processes, each at one scene.

    Raises:
        FileNotFoundError: There is no such folder or list.
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
    with WorkerPool(workers) as pool:
        for scene in Progress(pool.map(_prepare_scene, jobs), "scenes", len(jobs)):
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


def _prepare_scene(job: _Job) -> PreparedScene:
    """Write the file of one scene."""
    base, sfm, name, output = job
    try:
        views = read_views(sfm / name)
        depths = _depth_folder(base / DEPTH_FOLDER / name, [view.name for view in views])
    except (OSError, ValueError) as error:
        return PreparedScene(name, error=str(error).splitlines()[0])
    paths = [_find_files(sfm / name / "images", depths, view) for view in views]
    left_out = Counter(found for found in paths if isinstance(found, str))
    usable = len(views) - left_out.total()
    counts = tuple(left_out.items())
    if usable < 2:
        return PreparedScene(name, 0, counts, error=f"{usable} of {len(views)} images can be used")
    used = [
        None if isinstance(found, str) else _UsedView(view, *(_below(base, path) for path in found))
        for view, found in zip(views, paths, strict=True)
    ]
    arrays = _scene_arrays(used)
    partial = output / f"{name}.npz.partial"
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.replace(_scene_file(output, name))
    pairs = int((arrays["overlap_matrix"] > 0).sum())
    return PreparedScene(name, usable, counts, pairs)


def _find_files(images: Path, depths: Path, view: ColmapView) -> tuple[Path, Path] | str:
    """Return the files of an image and its depth map, or the reason why it is left out."""
    if len(view.points) == 0:
        return "no points of the model"
    image_path, depth_path = images / view.name, _depth_path(depths, view.name)
    if not image_path.is_file():
        return "no such image file"
    try:
        depth = read_depth(depth_path, view.shape)
    except FileNotFoundError:
        return "no depth map"
    except ValueError as error:
        logger.debug("%s", error)
        return "its depth map is broken, of another size, or an order of depths"
    return (image_path, depth_path) if depth.any() else "its depth map is empty"


@dataclass(frozen=True, eq=False)
class _UsedView:
    """An image to train on, and the paths of its files below the data's folder."""

    view: ColmapView
    image_path: str
    depth_path: str


def _scene_arrays(used: Sequence[_UsedView | None]) -> dict[str, np.ndarray]:
    """Return the arrays of :mod:`.scene`; None stands for an image that is left out."""
    none = np.zeros(0, np.int64)
    overlap = track_overlap(
        [none if each is None else each.view.points for each in used],
        [none if each is None else each.view.ndepths for each in used],
    )
    no_axis = np.full(3, np.nan)
    axes = np.array(
        [no_axis if each is None else each.view.world_to_camera[2, :3] for each in used]
    )

    def objects(value: Callable[[_UsedView], Any], otherwise: Any = None) -> np.ndarray:
        array = np.empty(len(used), object)
        array[:] = [otherwise if each is None else value(each) for each in used]
        return array

    def by_point(view: ColmapView, values: np.ndarray) -> dict[int, Any]:
        return dict(zip(view.points.tolist(), values.tolist(), strict=True))

    return {
        "image_paths": objects(lambda each: each.image_path),
        "depth_paths": objects(lambda each: each.depth_path),
        "intrinsics": objects(lambda each: each.view.intrinsics),
        "poses": objects(lambda each: each.view.world_to_camera),
        "overlap_matrix": overlap.overlaps,
        "scale_ratio_matrix": overlap.scale_ratios,
        "angles": np.rad2deg(np.arccos(np.clip(axes @ axes.T, -1, 1))),
        "n_points3D": np.diag(overlap.shared),
        "points3D_id_to_2D": objects(lambda each: by_point(each.view, each.view.pixels), {}),
        "points3D_id_to_ndepth": objects(lambda each: by_point(each.view, each.view.ndepths), {}),
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
    """Return the folder of depth maps that has most of the images.

    All images take one folder: each sub-model of a scene (dense0, dense1, ...) has its own unit of
    length.
    """
    folders = sorted(scene.glob("dense*/depths"))
    if not folders:
        raise FileNotFoundError(f"no depth maps in {scene}/dense*/depths")
    return max(
        folders, key=lambda folder: sum(_depth_path(folder, name).is_file() for name in images)
    )


def _depth_path(folder: Path, image: str) -> Path:
    return (folder / image).with_suffix(".h5")


def _below(base: Path, path: Path) -> str:
    return path.relative_to(base).as_posix()
