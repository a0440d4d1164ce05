# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs from a file of posed views, whoever wrote it: the renderer, MegaDepth, a reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...features import Features
from ...features.extractor import extractor_class
from .descriptor_storage import restore_descriptors
from .feature_pair import FeaturePair, PairSource
from .posed_view import PosedView, posed_pair, transfer, within
from .posed_views_writer import FORMAT, VERSION, PosedViewsWriter, import_h5py

if TYPE_CHECKING:
    import h5py

__all__ = ["PosedView", "PosedViews", "PosedViewsWriter", "import_h5py", "posed_pair", "transfer"]

FEWEST_FEATURES = 16
"""A pair with fewer in one of its views is not used."""


class PosedViews(PairSource):
    """Pairs of views of the same scene, read from a file when drawn.

    A scene's share of the pairs is that of the smaller of its number of pairs and
    ``pairs_per_scene``, so that large scenes do not drown small ones. Objects can be pickled: each
    process opens the file for itself.

    Args:
        path: of a file that :class:`PosedViewsWriter` wrote.
        pairs_per_scene: most pairs of a scene in an epoch.
        min_overlap, max_overlap: pairs whose overlap is known to lie outside are left out.

    Attributes:
        scenes: what the file says of each scene that has pairs.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is another one, its detector is not known, no pair is left, or h5py is
            not installed.
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

    def draw(self, rng: np.random.Generator) -> FeaturePair | None:
        """A pair of views; None if one has few features, or neither shows a point of the other."""
        scene = self.scenes[np.searchsorted(self._scene_ends, rng.integers(len(self)), "right")]
        views = [self._view(scene, view) for view in scene.pairs[rng.integers(len(scene.pairs))]]
        if min(len(view.features) for view in views) < FEWEST_FEATURES:
            return None
        pair = posed_pair(*views)
        seen = (
            within(at, shape) for at, shape in zip(pair.seen_at, pair.shapes[::-1], strict=True)
        )
        return pair if all(inside.any() for inside in seen) else None

    def view(self, scene: str, name: str) -> PosedView:
        """One view; KeyError if there is none of that name in a scene of that name with pairs."""
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
    """What a file says of a scene but for the features and depth maps themselves; arrays as the
    table in :mod:`.posed_views_writer` has them, and the scene's group in the file.
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
