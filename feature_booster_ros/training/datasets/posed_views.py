# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read and write files of posed views: features of images with camera, pose and depth.

The renderer, MegaDepth and reconstructions write them. An HDF5 file has the attributes ``format``,
``version`` and ``detector``, and a group ``scenes/000000`` and so on for every scene, with the
attribute ``name`` and the datasets

======================  ================  ==========================================================
``names``               (V,) str          names of the scene's views
``shapes``              (V, 2) int32      height and width of the images [px]
``camera_matrices``     (V, 3, 3) float64
``poses``               (V, 4, 4) float64 camera to world
``feature_starts``      (V + 1,) int64    rows of view v are those from start v to start v + 1
``geometry``            (F, 6) float32    x, y [px], scale, angle [rad], score, depth
``descriptors``         (F, B)            from :func:`store_descriptors`
``depth_shapes``        (V, 2) int32      of the depth maps, (0, 0) for none
``depth_starts``        (V + 1,) int64    as ``feature_starts``, of ``depths``
``depths``              (P,) float32      the depth maps, row by row
``pairs``               (M, 2) int32      views that show some of the same
``overlaps``            (M,) float32      share of the same, 0 to 1, or NaN if unknown
======================  ================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import install_extra
from ...features import Features
from ...features.extractor import extractor_class
from .descriptor_storage import restore_descriptors, storage_type, store_descriptors
from .pairs import PairSource, ViewGroup
from .posed_view import PosedView, usable_pair

if TYPE_CHECKING:
    import h5py


FORMAT, VERSION = "feature_booster_ros posed views", 1
DEPTH_REDUCTION = 4
"""Side of an image over that of its stored depth map, which serves the occlusion check only."""


def import_h5py() -> ModuleType:
    """Import h5py, which is optional.

    Raises:
        ValueError: It is not installed; the message says how to install it.
    """
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"HDF5 files need h5py: {install_extra('train')}") from error
    return h5py


class PosedViews(PairSource):
    """Pairs of views of the same scene, read from a file when drawn.

    A scene is drawn in proportion to its number of pairs, but at most ``pairs_per_scene``, so that
    large scenes do not dominate. Objects can be pickled: each process opens the file.

    Args:
        path: File that :class:`PosedViewsWriter` wrote.
        pairs_per_scene: Most pairs of a scene in an epoch.
        min_overlap: Least overlap of a pair; a pair of unknown overlap is used.
        max_overlap: Largest overlap of a pair.

    Attributes:
        scenes: Contents of each scene that has pairs, but for features and depth maps.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file has another format, its detector is not known, no pair is left, or h5py
            is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        pairs_per_scene: int = 300,
        min_overlap: float = 0.0,
        max_overlap: float = 1.0,
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"no file of posed views at {self.path}")
        if pairs_per_scene < 1:
            raise ValueError(f"pairs_per_scene must be at least 1, not {pairs_per_scene}")
        self._file = _open(self.path)
        self.detector = str(self._file.attrs["detector"])
        self._is_binary = extractor_class(self.detector).is_binary
        self.scenes = [
            scene
            for group in self._file["scenes"].values()
            if len((scene := _read_scene(group, min_overlap, max_overlap)).pairs)
        ]
        if not self.scenes:
            raise ValueError(
                f"{self.path} has no pairs with an overlap from {min_overlap} to {max_overlap}"
            )
        ends = np.cumsum([min(len(scene.pairs), pairs_per_scene) for scene in self.scenes])
        self._scene_ends = ends

    def __len__(self) -> int:
        return int(self._scene_ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._file = _open(self.path)

    def draw(self, rng: np.random.Generator) -> ViewGroup | None:
        """Draw a pair of views, or None if it is not usable (:func:`.posed_view.usable_pair`)."""
        scene = self.scenes[np.searchsorted(self._scene_ends, rng.integers(len(self)), "right")]
        first, second = scene.pairs[rng.integers(len(scene.pairs))]
        return usable_pair(self._view(scene, first), self._view(scene, second))

    def view(self, scene: str, name: str) -> PosedView:
        """Return one view.

        Raises:
            KeyError: There is no view of that name in a scene of that name with pairs.
        """
        for candidate in self.scenes:
            if candidate.name == scene and name in candidate.names:
                return self._view(candidate, candidate.names.index(name))
        raise KeyError(f"no view {name} of scene {scene} in {self.path}")

    def _view(self, scene: _Scene, view: int) -> PosedView:
        rows = slice(*scene.feature_starts[view : view + 2])
        group = self._file[scene.group]
        geometry = group["geometry"][rows]
        features = Features(
            np.ascontiguousarray(geometry[:, :2]),
            geometry[:, 2],
            geometry[:, 3],
            geometry[:, 4],
            restore_descriptors(group["descriptors"][rows], self._is_binary),
        )
        depth = None
        if scene.depth_shapes[view].all():
            depths = group["depths"][slice(*scene.depth_starts[view : view + 2])]
            depth = depths.reshape(scene.depth_shapes[view])
        height, width = scene.shapes[view].tolist()
        return PosedView(
            features,
            (height, width),
            scene.camera_matrices[view],
            scene.poses[view],
            geometry[:, 5],
            depth,
        )


@dataclass(frozen=True, eq=False)
class _Scene:
    """Contents of a scene but for features and depth maps; arrays as in the module's table.

    Attributes:
        group: Name of the scene's group in the file.
    """

    group: str
    name: str
    names: list[str]
    shapes: np.ndarray
    camera_matrices: np.ndarray
    poses: np.ndarray
    feature_starts: np.ndarray
    depth_shapes: np.ndarray
    depth_starts: np.ndarray
    pairs: np.ndarray
    overlaps: np.ndarray


def _read_scene(group: h5py.Group, min_overlap: float, max_overlap: float) -> _Scene:
    names = list(group["names"].asstr()[()])
    arrays = {
        name: group[name][()]
        for name in (
            "shapes",
            "camera_matrices",
            "poses",
            "feature_starts",
            "depth_shapes",
            "depth_starts",
        )
    }
    pairs, overlaps = group["pairs"][()], group["overlaps"][()]
    kept = np.isnan(overlaps) | ((overlaps >= min_overlap) & (overlaps <= max_overlap))
    return _Scene(
        group.name,
        str(group.attrs["name"]),
        names,
        pairs=pairs[kept],
        overlaps=overlaps[kept],
        **arrays,
    )


def _open(path: Path) -> h5py.File:
    try:
        file = import_h5py().File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} cannot be read as HDF5: {error}") from error
    found = file.attrs.get("format"), file.attrs.get("version")
    if found != (FORMAT, VERSION):
        file.close()
        raise ValueError(
            f"{path} is not a file of posed views of version {VERSION} "
            f"(format {found[0]}, version {found[1]})"
        )
    return file


class PosedViewsWriter:
    """A context that writes a file of posed views.

    The file is ``path.partial`` until all is written, and is removed on an error.

    Args:
        path: File to write; an existing one is replaced.
        detector: Name of the extractor of the features.

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
        """Write one view.

        Args:
            scene: Name of its scene.
            name: Name of the view, unique in the scene.
            view: The view.

        Raises:
            ValueError: The scene has a view of that name, or the descriptors are not of the
                detector's kind.
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
        self,
        scene: str,
        pairs: Sequence[tuple[str, str]],
        overlaps: Sequence[float] | np.ndarray | None,
    ) -> None:
        """Write pairs of views that show some of the same.

        Args:
            scene: Name of a scene that has views.
            pairs: Names of views that have been added.
            overlaps: Shares of one view that the other shows, 0 to 1, or None if unknown; bounds on
                the overlap do not leave out pairs of unknown overlap.

        Raises:
            ValueError: There is no such scene or view, or not one overlap for each pair.
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

    def add_pairs(
        self, pairs: Sequence[tuple[str, str]], overlaps: Sequence[float] | np.ndarray
    ) -> None:
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
        """Append rows to a dataset, and return its new length."""
        dataset = self._group[name]
        start = len(dataset)
        dataset.resize(start + len(rows), axis=0)
        dataset[start:] = rows
        return len(dataset)
