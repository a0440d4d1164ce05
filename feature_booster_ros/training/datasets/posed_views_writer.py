# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writing files of posed views: features of many scenes' images with camera, pose and depth.

An HDF5 file has the attributes ``format``, ``version`` and ``detector``, and a group
``scenes/000000`` and so on for every scene, with the attribute ``name`` and the datasets

======================  ================  ==========================================================
``names``               (V,) str          names of the scene's views
``shapes``              (V, 2) int32      height and width of the images, pixels
``camera_matrices``     (V, 3, 3) float64
``poses``               (V, 4, 4) float64 camera to world
``feature_starts``      (V + 1,) int64    rows of view v are those from start v to start v + 1
``geometry``            (F, 6) float32    x, y in pixels, scale, angle in radians, score, depth
``descriptors``         (F, B)            as :func:`store_descriptors` gives them
``depth_shapes``        (V, 2) int32      of the depth maps, (0, 0) for none
``depth_starts``        (V + 1,) int64    as ``feature_starts``, of ``depths``
``depths``              (P,) float32      the depth maps, row by row
``pairs``               (M, 2) int32      views that show some of the same
``overlaps``            (M,) float32      how much of it, 0 to 1, or NaN
======================  ================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import install_extra
from ...features.extractor import extractor_class
from .descriptor_storage import storage_type, store_descriptors
from .posed_view import PosedView

if TYPE_CHECKING:
    import h5py

FORMAT, VERSION = "feature_booster_ros posed views", 1


def import_h5py() -> ModuleType:
    """h5py; ValueError that says how to install it where it is missing."""
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"HDF5 files need h5py: {install_extra('train')}") from error
    return h5py


class PosedViewsWriter:
    """Writes a file of posed views; a context manager.

    The file is ``path.partial`` until all is written; if anything is raised, it is removed.

    Args:
        path: of the file to write; a file that is there is replaced.
        detector: name of the extractor whose features the views hold.

    Raises:
        ValueError: h5py is not installed, or there is no such extractor.
    """

    def __init__(self, path: str | Path, detector: str) -> None:
        self.path, self.detector = Path(path), detector
        self._partial = self.path.with_name(self.path.name + ".partial")
        self._is_binary = extractor_class(detector).is_binary
        self._h5py = import_h5py()
        self._scenes: dict[str, _SceneWriter] = {}

    def __enter__(self) -> PosedViewsWriter:
        if self.path.is_dir():  # before the long work, not when the file is put in its place
            raise ValueError(f"{self.path} is a folder: give a file to write, such as views.h5")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._h5py.File(self._partial, "w")
        self._file.attrs.update(format=FORMAT, version=VERSION, detector=self.detector)
        self._file.create_group("scenes")
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        with self._file:
            if error is None:
                for scene in self._scenes.values():
                    scene.finish()
        if error is None:
            self._partial.replace(self.path)
        else:
            self._partial.unlink()

    def add(self, scene: str, name: str, view: PosedView) -> None:
        """Write one view; ValueError if the scene has one of that name, or if its descriptors are
        not of the detector's kind.
        """
        if view.features.is_binary != self._is_binary:
            kind = "binary" if view.features.is_binary else "real"
            raise ValueError(f"view {name}: {kind} descriptors cannot be {self.detector}'s")
        if scene not in self._scenes:
            group = self._file["scenes"].create_group(f"{len(self._scenes):06d}")
            group.attrs["name"] = scene
            columns = view.features.descriptors.shape[1]
            self._scenes[scene] = _SceneWriter(group, self.detector, self._is_binary, columns)
        self._scenes[scene].add(name, view)

    def add_pairs(
        self, scene: str, pairs: Sequence[tuple[str, str]], overlaps: Sequence[float] | None
    ) -> None:
        """Name pairs of views that show some of the same.

        Args:
            scene: has views already.
            pairs: names of views that have been added.
            overlaps: how much of what one shows the other shows, 0 to 1, or None if unknown: then
                no bounds on the overlap leave the pair out.

        Raises:
            ValueError: there is no such scene or view, or not one overlap for each pair.
        """
        if scene not in self._scenes:
            raise ValueError(f"pairs of scene {scene}, of which no view has been added")
        self._scenes[scene].add_pairs(
            pairs, [np.nan] * len(pairs) if overlaps is None else overlaps
        )


class _SceneWriter:
    """Appends to the datasets of one scene."""

    def __init__(self, group: h5py.Group, detector: str, is_binary: bool, columns: int) -> None:
        self._group, self._detector = group, detector
        self._numbers: dict[str, int] = {}
        self._rows: dict[str, list[Any]] = {
            name: []
            for name in ("shapes", "camera_matrices", "poses", "depth_shapes", "pairs", "overlaps")
        }
        self._starts: dict[str, list[int]] = {"feature_starts": [0], "depth_starts": [0]}
        for name, shape, chunk, dtype in (
            ("geometry", (0, 6), (1024, 6), np.dtype(np.float32)),
            ("descriptors", (0, columns), (1024, columns), storage_type(detector, is_binary)),
            ("depths", (0,), (16384,), np.dtype(np.float32)),
        ):
            group.create_dataset(name, shape, dtype, maxshape=(None, *shape[1:]), chunks=chunk)

    def add(self, name: str, view: PosedView) -> None:
        if name in self._numbers:
            raise ValueError(f"scene {self._group.attrs['name']} has two views called {name}")
        self._numbers[name] = len(self._numbers)
        features = view.features
        geometry = np.column_stack(
            [
                features.keypoints,
                features.scales,
                features.angles,
                features.scores,
                view.feature_depths,
            ]
        )
        depth = np.zeros((0, 0)) if view.depth is None else view.depth
        self._rows["shapes"].append(view.shape)
        self._rows["camera_matrices"].append(view.camera_matrix)
        self._rows["poses"].append(view.pose)
        self._rows["depth_shapes"].append(depth.shape)
        self._starts["feature_starts"].append(self._append("geometry", geometry))
        self._append("descriptors", store_descriptors(features.descriptors, self._detector))
        self._starts["depth_starts"].append(self._append("depths", depth.ravel()))

    def add_pairs(self, pairs: Sequence[tuple[str, str]], overlaps: Sequence[float]) -> None:
        missing = {name for pair in pairs for name in pair} - self._numbers.keys()
        if missing:
            raise ValueError(f"scene {self._group.attrs['name']} has no view called {min(missing)}")
        if len(pairs) != len(overlaps):
            raise ValueError(f"{len(overlaps)} overlaps of {len(pairs)} pairs")
        self._rows["pairs"] += [[self._numbers[name] for name in pair] for pair in pairs]
        self._rows["overlaps"] += list(overlaps)

    def finish(self) -> None:
        group, rows = self._group, self._rows
        strings = import_h5py().string_dtype()
        group.create_dataset("names", data=list(self._numbers), dtype=strings)
        for name in ("camera_matrices", "poses"):
            group.create_dataset(name, data=np.array(rows[name], np.float64))
        for name in ("shapes", "depth_shapes", "pairs"):
            group.create_dataset(name, data=np.array(rows[name], np.int32).reshape(-1, 2))
        group.create_dataset("overlaps", data=np.array(rows["overlaps"], np.float32))
        for name, starts in self._starts.items():
            group.create_dataset(name, data=np.array(starts, np.int64))

    def _append(self, name: str, rows: np.ndarray) -> int:
        """The dataset's new length."""
        dataset = self._group[name]
        start = len(dataset)
        dataset.resize(start + len(rows), axis=0)
        dataset[start:] = rows
        return len(dataset)
