# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Transfer the features of one image to another, by depth, camera and pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...features import Features
from .pairs import MIN_FEATURES, NOWHERE, UNKNOWN, ViewGroup


@dataclass(frozen=True, eq=False)
class PosedView:
    """The features of one image whose camera, pose and depth are known.

    All views of a scene share one world and one unit of length.

    Attributes:
        features: N features.
        shape: (height, width) of the image [px].
        camera_matrix: (3, 3) intrinsics of this image, without distortion [px].
        pose: (4, 4) camera to world; the camera looks along +z, x right, y down.
        feature_depths: (N,) z of the features in this camera, 0 if unknown.
        depth: (h', w') float32 z of the image for the occlusion check, or None for no check. It has
            any size, with the outer edges of the image; 0 is unknown.

    Raises:
        ValueError: An array has the wrong shape; the message names it.
    """

    features: Features
    shape: tuple[int, int]
    camera_matrix: np.ndarray
    pose: np.ndarray
    feature_depths: np.ndarray
    depth: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, expected in (
            ("camera_matrix", (3, 3)),
            ("pose", (4, 4)),
            ("feature_depths", (len(self.features),)),
        ):
            found = np.shape(getattr(self, name))
            if found != expected:
                raise ValueError(f"{name} must have shape {expected}, not {found}")
        if self.depth is not None and (self.depth.ndim != 2 or self.depth.size == 0):
            raise ValueError(f"depth must have shape (height, width), not {self.depth.shape}")


def transfer(
    query: PosedView, reference: PosedView, relative_tolerance: float = 0.05
) -> np.ndarray:
    """Return the pixels of ``reference`` that show the points of the features of ``query``.

    Args:
        query: View of N features.
        reference: Another view of the same scene.
        relative_tolerance: Share by which the depth of a visible point may differ from the
            reference's depth map.

    Returns:
        (N, 2) float32. ``UNKNOWN`` if the depth of the feature or of the reference is unknown, or
        if the reference shows something farther away, since one of the depths is wrong then.
        ``NOWHERE`` if the point is behind the reference's camera or hidden. Outside of the
        reference image, the pixel where the point would be.
    """
    return locate(
        query.features.keypoints, query.feature_depths, query, reference, relative_tolerance
    )


def posed_pair(first: PosedView, second: PosedView) -> ViewGroup:
    """Return two views of one scene as a pair, with the features of each moved to the other."""
    return ViewGroup(
        (first.features, second.features),
        (first.shape, second.shape),
        ((_seen_at(first, second), _seen_at(second, first)),),
    )


def _seen_at(query: PosedView, reference: PosedView) -> np.ndarray:
    """Return :func:`transfer` with the zoom, (N, 3), as in :attr:`.ViewGroup.seen_at`.

    Of surfaces that face both cameras: the ratio of the focal lengths over the depths.
    """
    pixels = transfer(query, reference)
    depths = np.where(query.feature_depths > 0, query.feature_depths, 1.0)
    _, distances = _project(query.features.keypoints, depths, query, reference)
    enlargement = reference.camera_matrix[0, 0] / query.camera_matrix[0, 0] * depths
    # A point behind the camera is seen nowhere, at any zoom.
    zooms = np.log2(enlargement / np.where(distances > 0, distances, enlargement))
    return np.column_stack([pixels, zooms]).astype(np.float32)


def usable_pair(first: PosedView, second: PosedView) -> ViewGroup | None:
    """Return :func:`posed_pair`, or None if there is nothing to train on.

    Each view must have ``MIN_FEATURES`` features, one of them inside of the other view.
    """
    if min(len(first.features), len(second.features)) < MIN_FEATURES:
        return None
    pair = posed_pair(first, second)
    seen = (
        within(at[:, :2], shape)
        for at, shape in zip(pair.seen_at[0], pair.shapes[::-1], strict=True)
    )
    return pair if all(inside.any() for inside in seen) else None


def overlap(first: PosedView, second: PosedView) -> float:
    """Return the share of a view's pixels of known depth that the other view shows.

    It is the smaller of the two views' shares, 0 to 1.

    Raises:
        ValueError: A view has no depth map.
    """
    return min(_visible_share(first, second), _visible_share(second, first))


def locate(
    pixels: np.ndarray,
    depths: np.ndarray,
    query: PosedView,
    reference: PosedView,
    relative_tolerance: float = 0.05,
) -> np.ndarray:
    """Return the pixels of ``reference`` that show pixels of ``query``, as :func:`transfer`.

    Args:
        pixels: (N, 2) pixels of ``query``.
        depths: (N,) their depths.
        query: View of the pixels.
        reference: Another view of the same scene.
        relative_tolerance: As of :func:`transfer`.

    Returns:
        (N, 2) float32.
    """
    known = depths > 0
    seen_at, distances = _project(pixels, np.where(known, depths, 1.0), query, reference)
    seen_at[distances <= 0] = NOWHERE
    if reference.depth is not None:
        inside = known & within(seen_at, reference.shape)
        distance = distances[inside]
        nearest, farthest = _depths_around(reference.depth, seen_at[inside], reference.shape)
        checked = seen_at[inside]
        checked[distance < nearest * (1 - relative_tolerance)] = UNKNOWN
        checked[distance > farthest * (1 + relative_tolerance)] = NOWHERE
        checked[np.isnan(nearest)] = UNKNOWN
        seen_at[inside] = checked
    seen_at[~known] = UNKNOWN
    return seen_at.astype(np.float32)


def _visible_share(query: PosedView, reference: PosedView) -> float:
    if query.depth is None:
        raise ValueError("the overlap of views needs their depth maps")
    rows, columns = query.depth.shape
    steps = query.shape[1] / columns, query.shape[0] / rows
    pixels = (np.indices((columns, rows)).reshape(2, -1).T + 0.5) * steps - 0.5
    depths = query.depth.T.ravel()
    seen_at = locate(pixels, depths, query, reference)
    return float(within(seen_at, reference.shape).sum() / max(np.sum(depths > 0), 1))


def _project(
    pixels: np.ndarray, depths: np.ndarray, query: PosedView, reference: PosedView
) -> tuple[np.ndarray, np.ndarray]:
    """Project pixels (N, 2) at depths (N,) of the query into the reference.

    Returns:
        (N, 2) pixels and (N,) depths; the pixels of points behind the camera mean nothing.
    """
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(query.camera_matrix).T
    motion = np.linalg.inv(reference.pose) @ query.pose
    points = (rays * depths[:, None]) @ motion[:3, :3].T + motion[:3, 3]
    projected = points @ np.asarray(reference.camera_matrix).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return projected[:, :2] / projected[:, 2:], points[:, 2]


def within(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return (N,) bool, which pixels (N, 2) lie in an image of (height, width)."""
    height, width = shape
    return np.all((pixels >= -0.5) & (pixels < (width - 0.5, height - 0.5)), axis=1)


def _depths_around(
    depth: np.ndarray, pixels: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest of the four depths around pixels.

    A depth map is coarser than the image, and a slanted surface has many depths within one of its
    pixels. A depth that differs from all four differs for certain; a visible point taken for hidden
    would make a true match a negative.

    Args:
        depth: (h', w') depth map.
        pixels: (N, 2) inside the image.
        shape: (height, width) of the image.

    Returns:
        (N,) and (N,), NaN where one of the four is unknown.
    """
    rows, columns = depth.shape
    scale = columns / shape[1], rows / shape[0]
    corner = np.floor((pixels + 0.5) * scale - 0.5).astype(np.int64)
    column = np.clip(corner[:, :1] + (0, 1, 0, 1), 0, columns - 1)
    row = np.clip(corner[:, 1:] + (0, 0, 1, 1), 0, rows - 1)
    around = depth[row, column].astype(np.float64)
    around[~(around > 0)] = np.nan
    return around.min(axis=1), around.max(axis=1)
