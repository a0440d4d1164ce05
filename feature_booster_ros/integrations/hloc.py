# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features and matches as hloc's HDF5 files (Sarlin et al., "From Coarse to Fine", CVPR 2019).

A group of each image, called by its path below the folder, holds ``keypoints`` (N, 2), with the
center of the top-left pixel at 0 as here, ``descriptors`` (D, N), ``scores`` (N,) and
``image_size`` (width, height). A group ``NAME0/NAME1`` of each pair, in which "-" replaces the
slashes of the names, holds ``matches0`` (N0,) int16, the index in image 1 or -1, and
``matching_scores0`` (N0,).

Beyond hloc's, features have ``scales``, ``angles`` and ``model``, as :class:`Features` has them.
Binary descriptors are written as D numbers of equal size and either sign, whose cosine similarity
is the Hamming distance in other words, so that matchers of float descriptors give the same matches.

The files are closed after each group, and the last dataset of a group marks that it is complete:
whenever the process ends, what has been written can be read, and the rest written later.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ..booster.descriptors import pack_signs, unpack_bits
from ..errors import install_extra
from ..features import Features
from ..matching import Matches

if TYPE_CHECKING:
    import h5py

MOST_FEATURES = np.iinfo(np.int16).max
"""Most features of an image whose indices fit ``matches0``."""

_LAST_OF_FEATURES = "image_size"
_LAST_OF_MATCHES = "matching_scores0"


class FeatureFile:
    """Features of images in an HDF5 file of hloc's layout.

    Args:
        path: The file; it need not exist yet.

    Raises:
        ValueError: h5py is not installed, or the file is not HDF5.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._h5py = _import_h5py()
        if path.exists() and not self._h5py.is_hdf5(path):
            raise ValueError(f"{path} is not a file of features: give one that `extract` has made")

    def names(self) -> list[str]:
        """Return the names of the images whose features are complete, sorted."""
        if not self.path.exists():
            return []
        names: list[str] = []

        def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
            folder, _, dataset = name.rpartition("/")
            if dataset == _LAST_OF_FEATURES:
                names.append(folder)

        with self._h5py.File(self.path, "r") as file:
            file.visititems(note)
        return sorted(names)

    def write(self, name: str, features: Features, image_size: tuple[int, int]) -> None:
        """Write the features of an image, in place of those that the file has of it.

        Args:
            name: Path of the image below its folder.
            features: Features, in pixels of the file.
            image_size: (width, height) of the file [px].
        """
        descriptors = features.descriptors
        if features.is_binary:
            descriptors = unpack_bits(descriptors) / np.sqrt(features.descriptor_length)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._h5py.File(self.path, "a", libver="latest") as file:
            group = _new_group(file, name)
            group.attrs["model"] = features.model
            group.attrs["is_binary"] = features.is_binary
            group["keypoints"] = features.keypoints.astype(np.float32)
            group["descriptors"] = descriptors.T.astype(np.float16)
            group["scores"] = features.scores.astype(np.float32)
            group["scales"] = features.scales.astype(np.float32)
            group["angles"] = features.angles.astype(np.float32)
            group[_LAST_OF_FEATURES] = np.array(image_size)

    def read(self, name: str) -> Features:
        """Return the features of an image, in pixels of its file.

        Scales and angles that the file lacks, as those of hloc do, are 1 and 0.

        Raises:
            ValueError: The file has no features of that image.
        """
        with self._h5py.File(self.path, "r") as file:
            if name not in file or _LAST_OF_FEATURES not in file[name]:
                raise ValueError(f"{self.path} has no features of {name}: extract them first")
            group = file[name]
            descriptors = np.ascontiguousarray(group["descriptors"][()].T, np.float32)
            keypoints = np.asarray(group["keypoints"][()], np.float32)
            return Features(
                keypoints=keypoints,
                scales=_column(group, "scales", len(keypoints), 1.0),
                angles=_column(group, "angles", len(keypoints), 0.0),
                scores=_column(group, "scores", len(keypoints), 1.0),
                descriptors=(
                    pack_signs(descriptors) if group.attrs.get("is_binary") else descriptors
                ),
                model=str(group.attrs.get("model", "")),
            )

    def model(self) -> str | None:
        """Return what made the descriptors of the first image, or None if there is no image."""
        names = self.names()
        if not names:
            return None
        with self._h5py.File(self.path, "r") as file:
            return str(file[names[0]].attrs.get("model", ""))


class MatchFile:
    """Matches of pairs of images in an HDF5 file of hloc's layout.

    Args:
        path: The file; it need not exist yet.

    Raises:
        ValueError: h5py is not installed, or the file is not HDF5.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._h5py = _import_h5py()
        if path.exists() and not self._h5py.is_hdf5(path):
            raise ValueError(f"{path} is not a file of matches: give another output")

    def missing(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the pairs of names whose matches the file has in neither order."""
        if not self.path.exists():
            return pairs
        with self._h5py.File(self.path, "r") as file:
            return [
                pair
                for pair in pairs
                if f"{pair_name(*pair)}/{_LAST_OF_MATCHES}" not in file
                and f"{pair_name(*pair[::-1])}/{_LAST_OF_MATCHES}" not in file
            ]

    def write(self, pair: tuple[str, str], matches: Matches, a: Features, b: Features) -> None:
        """Write the matches of a pair of images.

        The score of a match is (1 + cosine similarity) / 2, as hloc's nearest neighbors have it;
        of binary descriptors that is the share of the bits that agree.

        Raises:
            ValueError: The second image has too many features for hloc's type of index.
        """
        if len(b) > MOST_FEATURES:
            raise ValueError(
                f"{pair[1]} has {len(b)} features, and hloc's matches hold at most {MOST_FEATURES}:"
                " extract fewer with --max-features"
            )
        targets = np.full(len(a), -1, np.int16)
        targets[matches.indices[:, 0]] = matches.indices[:, 1]
        scores = np.zeros(len(a), np.float16)
        scores[matches.indices[:, 0]] = (
            1 - matches.distances / a.descriptor_length
            if a.is_binary
            else 1 - matches.distances**2 / 4
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._h5py.File(self.path, "a", libver="latest") as file:
            group = _new_group(file, pair_name(*pair))
            group["matches0"] = targets
            group[_LAST_OF_MATCHES] = scores


def pair_name(first: str, second: str) -> str:
    """Return the group of a pair of images."""
    return f"{first.replace('/', '-')}/{second.replace('/', '-')}"


def _new_group(file: h5py.File, name: str) -> h5py.Group:
    if name in file:
        del file[name]
    return file.create_group(name)


def _column(group: h5py.Group, name: str, count: int, default: float) -> np.ndarray:
    if name in group:
        return np.asarray(group[name][()], np.float32)
    return np.full(count, default, np.float32)


def _import_h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"files of hloc's layout need h5py: {install_extra('colmap')}") from error
    return h5py
