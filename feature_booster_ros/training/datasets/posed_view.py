# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the features of one image are seen in another, from depth, camera and pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...features import Features
from .feature_pair import NOWHERE, UNKNOWN, FeaturePair


@dataclass(frozen=True, eq=False)
class PosedView:
    """The features of one image whose camera, pose and depth are known.

    All views of a scene share one world and one unit of length, whichever that is.

    Attributes:
        features: N of them.
        shape: (height, width) of the image in pixels.
        camera_matrix: (3, 3) intrinsics in pixels of this image, without distortion.
        pose: (4, 4) camera to world; the camera looks along +z, x right, y down.
        feature_depths: (N,) z in this camera of what each feature shows, 0 where that is unknown.
        depth: (h', w') float32 z that the image shows, for the occlusion check; of any size, its
            outer edges those of the image; 0 where it is unknown. None for no occlusion check.

    Raises:
        ValueError: an array has the wrong shape; the message names it.
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
    """The pixels of ``reference`` that show the points of the features of ``query``.

    Args:
        query: has N features.
        reference: of the same scene.
        relative_tolerance: a point is hidden if it lies farther away than what the reference's
            depth map shows there by more than this share.

    Returns:
        (N, 2) float32. ``UNKNOWN`` where the feature's depth is not known, where the reference's
        depth is not, or where it shows something farther away than the point: one of the two depths
        is wrong then. ``NOWHERE`` behind the reference's camera, and where the point is hidden.
        Outside the reference image the pixel where the point would be.
    """
    return locate(
        query.features.keypoints, query.feature_depths, query, reference, relative_tolerance
    )


def posed_pair(first: PosedView, second: PosedView) -> FeaturePair:
    """Two views of one scene, with where each one's features are seen in the other."""
    return FeaturePair(
        (first.features, second.features),
        (first.shape, second.shape),
        (transfer(first, second), transfer(second, first)),
    )


def overlap(first: PosedView, second: PosedView) -> float:
    """How much of what one view shows the other shows: the smaller share, 0 to 1, of a view's
    pixels of known depth that are visible in the other. Both need depth maps.
    """
    return min(_visible_share(first, second), _visible_share(second, first))


def locate(
    pixels: np.ndarray,
    depths: np.ndarray,
    query: PosedView,
    reference: PosedView,
    relative_tolerance: float = 0.05,
) -> np.ndarray:
    """The pixels of ``reference`` that show given pixels (N, 2) at depths (N,) of ``query``, as
    :func:`transfer` has it: (N, 2) float32.
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
    rows, columns = query.depth.shape
    steps = query.shape[1] / columns, query.shape[0] / rows
    pixels = (np.indices((columns, rows)).reshape(2, -1).T + 0.5) * steps - 0.5
    depths = query.depth.T.ravel()
    seen_at = locate(pixels, depths, query, reference)
    return float(within(seen_at, reference.shape).sum() / max(np.sum(depths > 0), 1))


def _project(
    pixels: np.ndarray, depths: np.ndarray, query: PosedView, reference: PosedView
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) at depths (N,) of the query, as pixels (N, 2) and depths (N,) of the reference;
    behind its camera the pixels mean nothing.
    """
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(query.camera_matrix).T
    motion = np.linalg.inv(reference.pose) @ query.pose
    points = (rays * depths[:, None]) @ motion[:3, :3].T + motion[:3, 3]
    projected = points @ np.asarray(reference.camera_matrix).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return projected[:, :2] / projected[:, 2:], points[:, 2]


def within(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(N,) bool: which pixels (N, 2) lie in an image of (height, width)."""
    height, width = shape
    return ((pixels >= -0.5) & (pixels < (width - 0.5, height - 0.5))).all(axis=1)


def _depths_around(
    depth: np.ndarray, pixels: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest (N,) of the four depths around pixels (N, 2) inside an image of
    (height, width); NaN where one of them is unknown.

    A depth map is coarser than the image, and a surface seen at a slant has many depths within one
    of its pixels. What differs from all four differs for certain: to take a visible point for a
    hidden one would make a true match a negative.
    """
    rows, columns = depth.shape
    scale = columns / shape[1], rows / shape[0]
    corner = np.floor((pixels + 0.5) * scale - 0.5).astype(np.int64)
    column = np.clip(corner[:, :1] + (0, 1, 0, 1), 0, columns - 1)
    row = np.clip(corner[:, 1:] + (0, 0, 1, 1), 0, rows - 1)
    around = depth[row, column].astype(np.float64)
    around[~(around > 0)] = np.nan
    return around.min(axis=1), around.max(axis=1)
