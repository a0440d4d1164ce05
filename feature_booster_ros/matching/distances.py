# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Distances of descriptors, pair by pair."""

from __future__ import annotations

import numpy as np

_ONES_OF_BYTE = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def pair_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance (M,) float32 of each row of ``a`` from the same row of ``b``: Hamming for bytes,
    else L2.
    """
    if a.dtype == np.uint8:
        return _ones(a ^ b)
    difference = a - b
    return np.sqrt(np.einsum("ij,ij->i", difference, difference))


def _ones(rows: np.ndarray) -> np.ndarray:
    """(M,) float32, how many bits are set in each row of bytes (M, B)."""
    if not hasattr(np, "bitwise_count"):  # NumPy 1
        return _ONES_OF_BYTE[rows].sum(axis=1, dtype=np.float32)
    if rows.shape[1] % 8 == 0:
        rows = np.ascontiguousarray(rows).view(np.uint64)
    return np.bitwise_count(rows).sum(axis=1, dtype=np.float32)
