# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Matching where it is known about where, or along which line, a feature will be found."""

from __future__ import annotations

import numpy as np

from ..booster.descriptors import unpack_bits


def match_near(
    predicted: np.ndarray,
    descriptors: np.ndarray,
    positions: np.ndarray,
    candidates: np.ndarray,
    radius: float,
    ratio: float = 0.9,
) -> np.ndarray:
    """Pairs (M, 2) of a predicted and a found feature, each the other's nearest in descriptor
    among those within ``radius``.

    Args:
        predicted: (P, 2) where features are expected.
        descriptors: theirs, (P, D) float32, or (P, B) uint8 packed bits.
        positions: (N, 2) of the features found, in the same unit.
        candidates: their descriptors, of the same kind.
        radius: in that unit, along either axis.
        ratio: a pair's distance must be below this share of the second nearest's within the radius.
    """
    first, second = _pairs_within(predicted, positions, radius)
    if len(first) == 0:
        return np.zeros((0, 2), np.int64)
    distances = _distances(descriptors[first], candidates[second])
    # By predicted feature and then by distance: the first of each run is the nearest.
    order = np.lexsort((distances, first))
    first, second, distances = first[order], second[order], distances[order]
    starts = np.flatnonzero(np.r_[True, first[1:] != first[:-1]])
    following = np.minimum(starts + 1, len(first) - 1)
    has_second = (following > starts) & (first[following] == first[starts])
    clear = ~has_second | (distances[starts] < ratio * distances[following])
    starts = starts[clear]
    # One predicted feature for each found one: the nearest.
    order = starts[np.lexsort((distances[starts], second[starts]))]
    kept = order[np.r_[True, second[order][1:] != second[order][:-1]]] if len(order) else order
    return np.stack([first[kept], second[kept]], axis=1)


def match_along_lines(
    lines: np.ndarray,
    descriptors: np.ndarray,
    positions: np.ndarray,
    candidates: np.ndarray,
    widths: np.ndarray,
    ratio: float = 0.9,
) -> np.ndarray:
    """Pairs (M, 2) of a line and a feature near it, mutually nearest in descriptor.

    Args:
        lines: (P, 3) with a x + b y + c = 0, in any scale.
        descriptors: (P, D) float32 or (P, B) uint8, of the features that the lines belong to.
        positions: (N, 2) of the features.
        candidates: their descriptors.
        widths: (N,) largest distance of a feature from the line.
        ratio: as of :func:`match_near`.
    """
    if len(lines) == 0 or len(positions) == 0:
        return np.zeros((0, 2), np.int64)
    lines = lines / np.maximum(np.linalg.norm(lines[:, :2], axis=1, keepdims=True), 1e-12)
    away = np.abs(lines[:, :2] @ positions.T + lines[:, 2:])
    squared = _all_squared_distances(descriptors, candidates)
    squared[away > widths] = np.inf
    nearest = squared.argmin(axis=1)
    rows = np.arange(len(lines))
    best = squared[rows, nearest]
    back = squared.argmin(axis=0)
    kept = np.isfinite(best) & (back[nearest] == rows)
    squared[rows, nearest] = np.inf
    with np.errstate(invalid="ignore"):
        kept &= best < ratio**2 * squared.min(axis=1)
    return np.stack([rows[kept], nearest[kept]], axis=1)


def _pairs_within(a: np.ndarray, b: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of all pairs whose coordinates differ by at most ``radius`` along both axes."""
    order = np.argsort(b[:, 0], kind="stable")
    x = b[order, 0]
    begin = np.searchsorted(x, a[:, 0] - radius)
    counts = np.searchsorted(x, a[:, 0] + radius, side="right") - begin
    first = np.repeat(np.arange(len(a)), counts)
    within = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    second = order[np.repeat(begin, counts) + within]
    near = np.abs(a[first, 1] - b[second, 1]) <= radius
    return first[near], second[near]


_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance of each row of ``a`` from the same row of ``b``: Hamming for bytes, else L2."""
    if a.dtype == np.uint8:
        return _ONES[a ^ b].sum(axis=1, dtype=np.float32)
    return np.sqrt(np.maximum(2 - 2 * np.einsum("ij,ij->i", a, b), 0))


def _all_squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(P, N) squared L2 distances, which for bits (as +1 and -1) are four times Hamming's.

    For bits the ratio test is one of Hamming distances' roots; it is squared to make it one of
    Hamming distances.
    """
    if a.dtype == np.uint8:
        a, b = unpack_bits(a), unpack_bits(b)
        return ((a.shape[1] - a @ b.T) / 2) ** 2
    return np.maximum(2 - 2 * (a @ b.T), 0)
