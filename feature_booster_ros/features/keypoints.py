# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keypoints as arrays, and the selection of the strongest."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import cv2
import numpy as np


def keypoint_arrays(
    keypoints: Sequence[cv2.KeyPoint],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Convert OpenCV's keypoints to float32 arrays.

    Returns:
        Positions (N, 2) [px], sizes (N,) [px], angles (N,) in [0, 2 pi) [rad], and responses (N,).
    """
    points = np.asarray(cv2.KeyPoint.convert(keypoints), np.float32).reshape(-1, 2)
    # OpenCV converts the points only; this loop in C takes a third of the time of one in Python.
    sizes, degrees, responses = (
        np.fromiter(map(attrgetter(name), keypoints), np.float32, len(keypoints))
        for name in ("size", "angle", "response")
    )
    return points, sizes, np.deg2rad(degrees) % np.float32(2 * np.pi), responses


def unit_rows(descriptors: np.ndarray) -> np.ndarray:
    """Return descriptors (N, D) as float32 rows of unit length; rows of zeros stay zero."""
    descriptors = np.array(descriptors, np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", descriptors, descriptors))[:, None]
    descriptors /= np.maximum(lengths, np.finfo(np.float32).tiny)
    return descriptors


def strongest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the ``count`` highest scores, best first; ties keep their order."""
    return np.argsort(-scores, kind="stable")[:count]


def spread(
    keypoints: np.ndarray,
    scores: np.ndarray,
    image_shape: tuple[int, ...],
    grid: tuple[int, int],
    count: int,
) -> np.ndarray:
    """Select ``count`` keypoints, spread over the cells of a grid.

    The strongest keypoint of each cell comes first, then the second of each cell, and so on; each
    round is ordered by score. Cells with few keypoints leave their share to the others, so exactly
    ``min(count, N)`` are selected.

    Args:
        keypoints: (N, 2) x, y in pixels.
        scores: (N,).
        image_shape: (height, width, ...) in pixels.
        grid: rows and columns of cells.
        count: largest number of keypoints.

    Returns:
        (min(count, N),) int indices.
    """
    height, width = image_shape[:2]
    rows, columns = grid
    row = np.clip((keypoints[:, 1] + 0.5) * rows // height, 0, rows - 1).astype(np.int64)
    column = np.clip((keypoints[:, 0] + 0.5) * columns // width, 0, columns - 1).astype(np.int64)
    cell = row * columns + column
    # Sorted by cell and then by score, the rank within a cell is the distance to the cell's first
    # entry.
    order = np.lexsort((-scores, cell))
    sorted_cell = cell[order]
    first_of_cell = np.searchsorted(sorted_cell, sorted_cell, side="left")
    rank = np.empty(len(cell), np.int64)
    rank[order] = np.arange(len(cell)) - first_of_cell
    return np.lexsort((-scores, rank))[:count]
