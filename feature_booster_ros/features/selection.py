# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which keypoints to keep when there are more than wanted."""

from __future__ import annotations

import numpy as np


def strongest(scores: np.ndarray, count: int) -> np.ndarray:
    """Indices of the ``count`` highest scores, best first; ties keep their order, so that runs
    repeat.
    """
    return np.argsort(-scores, kind="stable")[:count]


def spread(
    keypoints: np.ndarray,
    scores: np.ndarray,
    image_shape: tuple[int, ...],
    grid: tuple[int, int],
    count: int,
) -> np.ndarray:
    """Indices of ``count`` keypoints, dealt out over the cells of a grid.

    The strongest keypoint of every cell comes first, then the second of every cell, and so on: each
    round is ordered by score. A cell that has run out leaves its share to the others, so exactly
    ``min(count, N)`` are chosen.

    Args:
        keypoints: (N, 2) x, y in pixels.
        scores: (N,).
        image_shape: (height, width, ...) in pixels.
        grid: rows and columns of cells.
        count: how many to keep at most.

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
