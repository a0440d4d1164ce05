# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nearest-neighbor matching of descriptors, on the CPU or a GPU, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..booster.booster import resolve_device
from ..features import Features, check_comparable, check_features
from .cores import exact_multiply, run_on_cores
from .nearest import find_nearest, pair_distances
from .on_device import find_nearest_on_device


@dataclass(frozen=True, eq=False)
class Matches:
    """M pairs of features, the nearest descriptors first.

    Attributes:
        indices: (M, 2) int64, the feature's index in the first and in the second image.
        distances: (M,) float32, L2 distance of float descriptors, Hamming distance of binary ones
            [bits].

    Raises:
        ValueError: the shapes do not fit each other.
    """

    indices: np.ndarray
    distances: np.ndarray

    def __post_init__(self) -> None:
        if self.indices.ndim != 2 or self.indices.shape[1] != 2:
            raise ValueError(f"indices must have shape (M, 2), not {self.indices.shape}")
        if self.distances.shape != (len(self.indices),):
            raise ValueError(
                f"distances must have shape ({len(self.indices)},), not {self.distances.shape}"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def select(self, which: np.ndarray) -> Matches:
        """Return the matches at integer indices, in their order, or of a boolean mask (M,)."""
        return Matches(self.indices[which], self.distances[which])

    @staticmethod
    def empty() -> Matches:
        """Return no matches."""
        return Matches(np.zeros((0, 2), np.int64), np.zeros(0, np.float32))


def match(
    a: Features,
    b: Features,
    mutual: bool = True,
    ratio: float | None = None,
    max_distance: float | None = None,
    top_k: int | None = None,
    device: str = "cpu",
) -> Matches:
    """Match each feature of ``a`` with its nearest neighbor in ``b``, nearest pair first.

    Float descriptors are compared by L2 distance and binary ones by Hamming distance.

    Args:
        a: query features.
        b: reference features, with descriptors of the same kind.
        mutual: keep a pair only if each is the other's nearest.
        ratio: keep a pair only if its distance is below this share of the distance to the second
            nearest (Lowe, IJCV 2004), in (0, 1]; None for no such test.
        max_distance: keep a pair only up to this distance; None for any.
        top_k: keep only this many pairs, the nearest; None for all.
        device: "cpu", "cuda", "cuda:N" or "auto".

    Raises:
        ValueError: the descriptors differ in kind, length or model, or an option is out of range.
    """
    _check(a, b, ratio, max_distance, top_k)
    if len(a) == 0 or len(b) == 0:
        return Matches.empty()
    on = resolve_device(device)
    rows_a, rows_b = a.descriptors, b.descriptors
    if on.type == "cpu":
        nearest = find_nearest(
            rows_a, rows_b, mutual, ratio is not None, exact_multiply, run_on_cores
        )
    else:
        nearest = find_nearest_on_device(on, rows_a, rows_b, mutual, ratio is not None)
    index_a = np.arange(len(a)) if nearest.is_mutual is None else np.flatnonzero(nearest.is_mutual)
    index_b = nearest.indices[index_a]
    # Computed from the rows, as distances from a product are inexact near zero.
    distances = pair_distances(rows_a[index_a], rows_b[index_b])
    kept = np.ones(len(index_a), bool)
    if nearest.second is not None:
        kept &= distances < ratio * nearest.second[index_a]
    if max_distance is not None:
        kept &= distances <= max_distance
    pairs, distances = np.stack([index_a, index_b], axis=1)[kept], distances[kept]
    order = np.argsort(distances, kind="stable")[:top_k]
    return Matches(pairs[order], distances[order])


def _check(
    a: Features, b: Features, ratio: float | None, max_distance: float | None, top_k: int | None
) -> None:
    check_features("a", a)
    check_features("b", b)
    check_comparable(a, b)
    if ratio is not None and not 0 < ratio <= 1:
        raise ValueError(f"ratio must lie in (0, 1], not {ratio}")
    if max_distance is not None and not max_distance >= 0:
        raise ValueError(f"max_distance must be at least 0, not {max_distance}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
