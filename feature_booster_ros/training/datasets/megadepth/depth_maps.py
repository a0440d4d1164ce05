# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read depth maps of MegaDepth's .h5 files, and interpolate depth at pixels."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from ..posed_views import import_h5py

DATASET = "depth"
MAX_ROUGHNESS = 0.005
"""Largest deviation of 4 x 4 depths from a plane, as a share of the depth; more is an edge."""

# Offsets of the 4 x 4 pixels around a point, and the fit of a plane a x + b y + c to values there.
_STEPS = np.arange(-1, 3)
_STEP_Y, _STEP_X = (grid.ravel() for grid in np.meshgrid(_STEPS, _STEPS, indexing="ij"))
_TERMS = np.column_stack([_STEP_X, _STEP_Y, np.ones(16)])
_FIT = np.linalg.pinv(_TERMS).T


def read_depth(
    path: str | PathLike,
    shape: tuple[int, int],
    window: tuple[slice, slice] = (slice(None), slice(None)),
) -> np.ndarray:
    """Return a depth map, or rows and columns of it.

    Args:
        path: HDF5 file with a dataset ``depth``.
        shape: (height, width) of the image, which the whole map must have.
        window: Rows and columns to read.

    Returns:
        (h, w) float32, 0 where the depth is unknown.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read, has another shape, or holds the order of depths, which
            MegaDepth has for images whose reconstruction is not dense.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no depth map at {path}")
    h5py = import_h5py()
    try:
        with h5py.File(path, "r") as file:
            dataset = file[DATASET]
            found = dataset.shape
            depth = dataset[window].astype(np.float32) if found == tuple(shape) else None
    except (OSError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is no depth map: {error}") from error
    if depth is None:
        raise ValueError(f"{path} has shape {found}, but its image {tuple(shape)}")
    if (depth < 0).any():
        raise ValueError(f"{path} holds an order of depths, no depths")
    return np.nan_to_num(depth, copy=False, nan=0.0, posinf=0.0)


def depth_at(depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return the depth at pixels of a depth map.

    It is the depth of the plane through the 4 x 4 depths around the pixel. Unless these are all
    known and of one surface, the depth may be that of either side of an edge, and is unknown.

    Args:
        depth: (h, w), 0 where unknown.
        pixels: (N, 2) x, y.

    Returns:
        (N,) float32, 0 where unknown.
    """
    pixels = np.asarray(pixels, np.float64)
    rows, columns = depth.shape
    if len(pixels) == 0 or min(depth.shape) < len(_STEPS):
        return np.zeros(len(pixels), np.float32)
    inside = np.all((pixels >= -0.5) & (pixels <= (columns - 0.5, rows - 0.5)), axis=1)
    # At the border the 4 x 4 move inwards, and the plane is extended by up to 1.5 pixels.
    corner = np.clip(np.floor(np.where(inside[:, None], pixels, 1)), 1, (columns - 3, rows - 3))
    column, row = corner.astype(np.int64).T
    around = depth[row[:, None] + _STEP_Y, column[:, None] + _STEP_X].astype(np.float64)
    known = inside & (around > 0).all(axis=1)
    # The inverse depth of a plane is linear in the pixel; the depth is not.
    inverse = 1.0 / np.where(around > 0, around, 1.0)
    planes = inverse @ _FIT
    deviation = np.abs(planes @ _TERMS.T - inverse).max(axis=1)
    known &= deviation <= MAX_ROUGHNESS * inverse.mean(axis=1)
    here = np.column_stack([pixels - corner, np.ones(len(pixels))])
    at_pixel = np.where(known, (planes * here).sum(axis=1), 1.0)
    return np.where(known & (at_pixel > 0), 1.0 / at_pixel, 0.0).astype(np.float32)


def shrink_depth(depth: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a smaller depth map (h, w) of the same outer edges: the depths at its pixel centers.

    Nothing is averaged, since there is no surface between a near and a far one.
    """
    row, column = (
        np.clip(((np.arange(new) + 0.5) * old / new).astype(np.int64), 0, old - 1)
        for new, old in zip(shape, depth.shape, strict=True)
    )
    return np.ascontiguousarray(depth[np.ix_(row, column)])


def nearest_depth(
    known: np.ndarray, depths: np.ndarray, pixels: np.ndarray, radius: float
) -> np.ndarray:
    """Return the depth at pixels from the nearest pixel of known depth.

    Args:
        known: (M, 2) pixels of known depth.
        depths: (M,) their depths.
        pixels: (N, 2).
        radius: Largest distance to the nearest pixel [px].

    Returns:
        (N,) float32, 0 where there is none within the radius.
    """
    if len(known) == 0 or len(pixels) == 0:
        return np.zeros(len(pixels), np.float32)
    # |a - b|^2 as a matrix product: thousands of features meet thousands of points.
    a, b = np.asarray(pixels, np.float64), np.asarray(known, np.float64)
    squared = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
    nearest = squared.argmin(axis=1)
    close = squared[np.arange(len(a)), nearest] <= radius**2
    return np.where(close, depths[nearest], 0).astype(np.float32)
