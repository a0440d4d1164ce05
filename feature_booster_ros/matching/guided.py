# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matching near predicted positions, along epipolar segments, and anywhere."""

from __future__ import annotations

import numpy as np

from .nearest import find_nearest, pair_distances


def match_near(
    predicted: np.ndarray,
    descriptors: np.ndarray,
    positions: np.ndarray,
    candidates: np.ndarray,
    radius: float,
    ratio: float = 0.9,
) -> np.ndarray:
    """Match predicted features with the nearest descriptors within a radius, one to one.

    Args:
        predicted: (P, 2) positions where features are expected.
        descriptors: of the predicted features, (P, D) float32, or (P, B) uint8 packed bits.
        positions: (N, 2) of the features found, in the same unit.
        candidates: descriptors of the features found, of the same kind.
        radius: largest difference of positions along either axis, in the same unit.
        ratio: a pair's distance must be below this share of the second nearest's within the radius.

    Returns:
        Pairs (M, 2) int64 of a predicted and a found feature.
    """
    first, second = _pairs_in_boxes(predicted - radius, predicted + radius, positions)
    if len(first) == 0:
        return np.zeros((0, 2), np.int64)
    distances = _distances(descriptors, candidates, first, second)
    # Sorted by predicted feature and then by distance, the first of each run is the nearest.
    order = np.lexsort((distances, first))
    first, second, distances = first[order], second[order], distances[order]
    starts = _run_starts(first)
    following = np.minimum(starts + 1, len(first) - 1)
    has_second = (following > starts) & (first[following] == first[starts])
    clear = ~has_second | (distances[starts] < ratio * distances[following])
    starts = starts[clear]
    # Of several predicted features matched with one found, the nearest is kept.
    order = starts[np.lexsort((distances[starts], second[starts]))]
    kept = order[np.r_[True, second[order][1:] != second[order][:-1]]] if len(order) else order
    return np.stack([first[kept], second[kept]], axis=1)


def match_along_segments(
    begins: np.ndarray,
    ends: np.ndarray,
    descriptors: np.ndarray,
    positions: np.ndarray,
    candidates: np.ndarray,
    widths: np.ndarray,
    ratio: float = 0.9,
    max_distance: float = np.inf,
) -> np.ndarray:
    """Match segments with features near them that are mutually nearest in descriptor.

    Args:
        begins: (P, 2) of the segments.
        ends: (P, 2) of the segments.
        descriptors: (P, D) float32 or (P, B) uint8, of the features that the segments belong to.
        positions: (N, 2) of the features.
        candidates: descriptors of the features, of the same kind.
        widths: (N,) largest distance of a feature from a segment, across it and beyond its ends.
        ratio: as of :func:`match_near`.
        max_distance: largest distance of descriptors, L2 or Hamming.

    Returns:
        Pairs (M, 2) int64 of a segment and a feature.
    """
    if len(begins) == 0 or len(positions) == 0:
        return np.zeros((0, 2), np.int64)
    widest = widths.max()
    first, second = _pairs_in_boxes(
        np.minimum(begins, ends) - widest, np.maximum(begins, ends) + widest, positions
    )
    near = _near_segments(begins[first], ends[first], positions[second], widths[second])
    first, second = first[near], second[near]
    distances = _distances(descriptors, candidates, first, second)
    return _mutually_nearest(first, second, distances, ratio, max_distance)


def match_anywhere(
    descriptors: np.ndarray, candidates: np.ndarray, ratio: float = 0.9
) -> np.ndarray:
    """Match mutually nearest descriptors, wherever their features are.

    This is :func:`~feature_booster_ros.matching.match` by NumPy in the calling thread, which is
    enough for the hundreds of features of a frame.

    Args:
        descriptors: (P, D) float32 or (P, B) uint8.
        candidates: (N, D) or (N, B) of the same kind.
        ratio: as of :func:`match_near`.

    Returns:
        Pairs (M, 2) int64 of rows of both.
    """
    if len(descriptors) == 0 or len(candidates) == 0:
        return np.zeros((0, 2), np.int64)
    nearest = find_nearest(descriptors, candidates, mutual=True, second=True)
    assert nearest.is_mutual is not None and nearest.second is not None  # as asked for
    first = np.flatnonzero(nearest.is_mutual)
    second = nearest.indices[first]
    distances = pair_distances(descriptors[first], candidates[second])
    kept = distances < ratio * nearest.second[first]
    return np.stack([first[kept], second[kept]], axis=1)


def descriptor_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the distances (M,) of rows of ``a`` from the same rows of ``b``.

    Hamming distances of packed bits, else L2 distances of rows of unit length, which takes less
    time than :func:`pair_distances` and is less exact near zero.
    """
    if a.dtype == np.uint8:
        return pair_distances(a, b)
    return np.sqrt(np.maximum(2 - 2 * np.einsum("ij,ij->i", a, b), 0))


def _mutually_nearest(
    first: np.ndarray,
    second: np.ndarray,
    distances: np.ndarray,
    ratio: float,
    max_distance: float,
) -> np.ndarray:
    """Return those of P pairs that are mutually nearest, (M, 2).

    Args:
        first: (P,) one feature of each pair.
        second: (P,) the other one.
        distances: (P,) of their descriptors.
        ratio: largest ratio of a pair's distance to that of the first feature's next pair.
        max_distance: largest distance.
    """
    if len(first) == 0:
        return np.zeros((0, 2), np.int64)
    # Each run of equal first features begins with the nearest, of equally near ones the first.
    order = np.lexsort((second, distances, first))
    starts = _run_starts(first[order])
    following = np.minimum(starts + 1, len(first) - 1)
    has_second = first[order[following]] == first[order[starts]]
    has_second &= following > starts
    best = distances[order[starts]]
    kept = ~has_second | (best < ratio * distances[order[following]])
    kept &= best <= max_distance
    back = np.lexsort((first, distances, second))
    is_nearest = np.zeros(len(first), bool)
    is_nearest[back[_run_starts(second[back])]] = True
    chosen = order[starts[kept]]
    chosen = chosen[is_nearest[chosen]]
    return np.stack([first[chosen], second[chosen]], axis=1)


def _run_starts(numbers: np.ndarray) -> np.ndarray:
    """Return where each run of equal numbers begins in an array that is not empty."""
    return np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]])


def _near_segments(
    begins: np.ndarray, ends: np.ndarray, positions: np.ndarray, widths: np.ndarray
) -> np.ndarray:
    """Return whether (P,) each position is within its width of its segment."""
    direction = ends - begins
    length = np.linalg.norm(direction, axis=1)
    # A segment of length zero takes an arbitrary direction.
    direction = np.where(
        length[:, None] > 1e-9, direction / np.maximum(length, 1e-9)[:, None], [1.0, 0.0]
    )
    offset = positions - begins
    across = np.abs(offset[:, 0] * direction[:, 1] - offset[:, 1] * direction[:, 0])
    along = (offset * direction).sum(axis=1)
    return (across <= widths) & (along >= -widths) & (along <= length + widths)


def _pairs_in_boxes(
    low: np.ndarray, high: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of all pairs of a box, from ``low`` to ``high``, and a position in it."""
    order = np.argsort(positions[:, 0], kind="stable")
    x = positions[order, 0]
    begin = np.searchsorted(x, low[:, 0])
    counts = np.searchsorted(x, high[:, 0], side="right") - begin
    first = np.repeat(np.arange(len(low)), counts)
    within = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    second = order[np.repeat(begin, counts) + within]
    y = positions[second, 1]
    inside = (y >= low[first, 1]) & (y <= high[first, 1])
    return first[inside], second[inside]


_GATHER_SHARE = 32
"""Time of fetching the rows of one pair, in pairs of a matrix product."""


def _distances(a: np.ndarray, b: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the distances of the rows ``first`` of ``a`` from the rows ``second`` of ``b``."""
    if a.dtype == np.uint8 or _GATHER_SHARE * len(first) < len(a) * len(b):
        return descriptor_distances(a[first], b[second])
    return np.sqrt(np.maximum(2 - 2 * (a @ b.T)[first, second], 0))
