# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draw textured rectangles as a pinhole camera sees them, with exact depth, in numpy and OpenCV.

A rectangle with corner ``c`` and edges ``u``, ``v`` (camera frame, meters) holds the points
``a u + b v + c`` with a, b in [0, 1]. Its points and their pixels are related by
``z (x, y, 1) = K [u v c] (a, b, 1)``, so the inverse ``G = (K [u v c])^-1`` takes a pixel to
``G (x, y, 1) = (a, b, 1) / z``: one 3x3 matrix a rectangle gives the inverse depth (linear in the
pixel, hence exact), the inside test and the texture coordinate. Everything below is that matrix.

Pixel (0, 0) is the center of the top-left pixel. The camera looks along +z, x right, y down (the
optical frame of REP 103).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

NEAR = 0.05
"""Distance to the camera below which surfaces are not drawn [m]."""

_SUPERSAMPLING = 2
# Points that are cast in one step, which bounds the memory: each meets every surface.
_CAST_AT_ONCE = 8192
# |det G^-1| below which the camera lies in the plane of the rectangle and sees nothing of it.
_FLAT = 1e-9


@dataclass(frozen=True, eq=False)
class Texture:
    """An image with its prefiltered smaller versions, two to the octave.

    Attributes:
        levels: level k is the image shrunk by 2^(k/2) with area averaging, (H, W) or (H, W, 3)
            uint8.
    """

    levels: Sequence[np.ndarray]

    @classmethod
    def from_image(cls, image: np.ndarray) -> Texture:
        """Build the levels of `image`, (H, W) or (H, W, 3) uint8, down to a few pixels."""
        height, width = image.shape[:2]
        levels = [np.ascontiguousarray(image)]
        while min(levels[-1].shape[:2]) > 4:
            shrink = 2.0 ** (-len(levels) / 2.0)
            size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
            # Two levels up is a factor of two: nearly as exact as from the full image, and cheap.
            levels.append(
                cv2.resize(levels[max(0, len(levels) - 2)], size, interpolation=cv2.INTER_AREA)
            )
        return cls(levels)


@dataclass(frozen=True, eq=False)
class Surface:
    """A textured rectangle (or parallelogram), seen from both sides.

    Attributes:
        corner: (3,) world position of the texture's top-left corner, meters.
        right, down: (3,) edges from there along the texture's rows and columns, meters.
        texture: what is on it.
    """

    corner: np.ndarray
    right: np.ndarray
    down: np.ndarray
    texture: Texture


@dataclass(frozen=True, eq=False)
class Scene:
    """Surfaces that stand still, opaque and without shadows."""

    surfaces: Sequence[Surface]
    _frames: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.surfaces:
            raise ValueError("a scene needs at least one surface")
        columns = [np.stack([s.right, s.down, s.corner], axis=-1) for s in self.surfaces]
        object.__setattr__(self, "_frames", np.asarray(columns, np.float64))

    def in_camera(self, pose: np.ndarray) -> np.ndarray:
        """Give every [right down corner] (S, 3, 3) in the frame of the camera at `pose` (4, 4)."""
        rotation, position = pose[:3, :3], pose[:3, 3]
        frames = rotation.T @ self._frames
        frames[:, :, 2] -= rotation.T @ position
        return frames


def cast(
    scene: Scene, matrix: np.ndarray, pose: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Look up what is seen at single pixels, exactly and at any sub-pixel position.

    Args:
        scene: what is looked at.
        matrix: (3, 3) intrinsics.
        pose: (4, 4) camera to world.
        points: (M, 2) pixels; they may lie outside the image.

    Returns:
        depth (M,) float64, the z coordinate in the camera frame in meters, and the surface's index
        (M,) int64. Where nothing is hit the depth is inf and the index -1.
    """
    points = np.asarray(points, np.float64).reshape(-1, 2)
    if len(points) > _CAST_AT_ONCE:
        count = len(points) // _CAST_AT_ONCE + 1
        parts = [cast(scene, matrix, pose, part) for part in np.array_split(points, count)]
        depths, indices = zip(*parts, strict=True)
        return np.concatenate(depths), np.concatenate(indices)
    inverses, seen = _inverses(scene, matrix, pose)
    homogeneous = np.column_stack([points, np.ones(len(points))])
    a, b, inverse_depth = np.moveaxis(homogeneous @ inverses.transpose(0, 2, 1), -1, 0)
    hit = seen[:, None] & (inverse_depth > 0) & (inverse_depth < 1 / NEAR)
    hit &= (a >= 0) & (b >= 0) & (a <= inverse_depth) & (b <= inverse_depth)
    inverse_depth = np.where(hit, inverse_depth, 0.0)
    index = inverse_depth.argmax(axis=0)
    nearest = inverse_depth[index, np.arange(len(points))]
    with np.errstate(divide="ignore"):
        return 1.0 / nearest, np.where(nearest > 0, index, -1)


def draw_depth(
    scene: Scene, matrix: np.ndarray, pose: np.ndarray, width: int, height: int
) -> np.ndarray:
    """Give the depth at every pixel's center: (H, W) float32, meters, inf where nothing is."""
    inverse_depth, _ = _rasterize(scene, matrix, pose, width, height)
    with np.errstate(divide="ignore"):
        return 1.0 / inverse_depth


def draw(scene: Scene, matrix: np.ndarray, pose: np.ndarray, width: int, height: int) -> np.ndarray:
    """Draw the scene without aliasing: uint8 (H, W), or (H, W, 3) where the textures have colors.

    Every pixel is the mean of 2x2 samples, and a sample reads the level of its texture whose pixels
    are as large as the sample's footprint. Where nothing is, the image is black.
    """
    factor = _SUPERSAMPLING
    # Pixel x covers [x - 1/2, x + 1/2], so sample s of a grid `factor` times as fine lies at
    # x = (s + 1/2) / factor - 1/2.
    refine = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1.0]])
    matrix = refine @ matrix
    size = (height * factor, width * factor)
    inverse_depth, owner = _rasterize(scene, matrix, pose, size[1], size[0])
    inverses, _ = _inverses(scene, matrix, pose)
    channels = scene.surfaces[0].texture.levels[0].shape[2:]
    image = np.zeros((*size, *channels), np.uint8)
    for index in np.unique(owner[owner >= 0]):
        mask = (owner == index).view(np.uint8)
        box = _Box(*cv2.boundingRect(mask))
        _paint(
            box.of(image),
            box.of(mask),
            box.of(inverse_depth),
            scene.surfaces[index].texture,
            inverses[index] @ box.shift(),
        )
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class _Box:
    """A rectangle of pixels, as cv2.boundingRect gives it."""

    x: int
    y: int
    width: int
    height: int

    def of(self, image: np.ndarray) -> np.ndarray:
        return image[self.y : self.y + self.height, self.x : self.x + self.width]

    def shift(self) -> np.ndarray:
        """Take pixels of the box to those of the whole image, (3, 3)."""
        return np.array([[1, 0, self.x], [0, 1, self.y], [0, 0, 1.0]])


def _inverses(scene: Scene, matrix: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give every surface's G (S, 3, 3) and whether the camera sees it other than edge-on (S,)."""
    forward = matrix @ scene.in_camera(pose)
    seen = np.abs(np.linalg.det(forward)) > _FLAT
    forward[~seen] = np.eye(3)
    return np.linalg.inv(forward), seen


def _rasterize(
    scene: Scene, matrix: np.ndarray, pose: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find every pixel's nearest surface: 1/depth (H, W) float32 and its index, or 0 and -1."""
    nearest = np.zeros((height, width), np.float32)
    owner = np.full((height, width), -1, np.int16)
    inverses, seen = _inverses(scene, matrix, pose)
    frames = scene.in_camera(pose)
    columns = np.arange(width, dtype=np.float32)
    for index in np.flatnonzero(seen):
        right, down, corner = frames[index].T
        polygon = _clip(np.array([corner, corner + right, corner + right + down, corner + down]))
        if len(polygon) < 3:
            continue
        outline = polygon @ matrix.T
        outline = outline[:, :2] / outline[:, 2:]
        first, last, left, end = _touched(outline, width, height)
        if first >= last or left >= end:
            continue
        box = _Box(left, first, end - left, last - first)
        ray = inverses[index, 2] @ box.shift()  # 1/z as a linear function of the pixel
        inverse_depth = np.add.outer(
            (ray[1] * np.arange(box.height) + ray[2]).astype(np.float32),
            (ray[0] * np.arange(box.width)).astype(np.float32),
        )
        begins, ends = _row_spans(outline, np.arange(first, last))
        inside = columns[left:end] >= begins[:, None]
        inside &= columns[left:end] <= ends[:, None]
        inside &= inverse_depth > box.of(nearest)
        cv2.copyTo(inverse_depth, inside.view(np.uint8), box.of(nearest))
        box.of(owner)[inside] = index
    return nearest, owner


def _clip(polygon: np.ndarray) -> np.ndarray:
    """Cut away what of a convex polygon (V, 3) lies nearer than the near plane."""
    kept = []
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if start[2] >= NEAR:
            kept.append(start)
        if (start[2] >= NEAR) != (end[2] >= NEAR):
            kept.append(start + (end - start) * (NEAR - start[2]) / (end[2] - start[2]))
    return np.array(kept).reshape(-1, 3)


def _touched(outline: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """Give the rows and columns [first, last), [left, end) that an outline can touch."""
    low = np.maximum(np.ceil(outline.min(axis=0) - 0.5), 0)
    high = np.minimum(np.floor(outline.max(axis=0) + 0.5) + 1, (width, height))
    return int(low[1]), int(high[1]), int(low[0]), int(high[0])


def _row_spans(outline: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the first and last column (float32) that a convex outline (V, 2) covers in each row."""
    start, end = outline, np.roll(outline, -1, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (rows[:, None] - start[:, 1]) / (end[:, 1] - start[:, 1])
        # False for a horizontal edge: the other edges at its ends count.
        crossed = (along >= 0) & (along <= 1)
        column = start[:, 0] + along * (end[:, 0] - start[:, 0])
    slack = 1e-3  # overlap of neighbors, so that rounding leaves no crack between them
    left = np.where(crossed, column, np.inf).min(axis=1) - slack
    right = np.where(crossed, column, -np.inf).max(axis=1) + slack
    return left.astype(np.float32), right.astype(np.float32)


def _paint(
    image: np.ndarray,
    mask: np.ndarray,
    inverse_depth: np.ndarray,
    texture: Texture,
    inverse: np.ndarray,
) -> None:
    """Fill the masked pixels with the texture, each from the level that fits its footprint.

    The area that one pixel covers on the texture is that of G's map, |det G| z^3 times the
    texture's area: it depends on the depth alone, so a level's share is a range of depths.
    """
    height, width = texture.levels[0].shape[:2]
    with np.errstate(divide="ignore"):
        at_unit_depth = np.log2(width * height * abs(np.linalg.det(inverse)))
    visible = inverse_depth[mask > 0]
    # One level up halves the area: level = log2(area of the footprint in pixels of level 0).
    nearest, farthest = (at_unit_depth - 3 * np.log2([visible.max(), visible.min()])).round()
    top = len(texture.levels) - 1
    for level in range(int(np.clip(nearest, 0, top)), int(np.clip(farthest, 0, top)) + 1):
        chosen = mask
        # The level takes the depths of footprints 2^(level -+ 1/2); the ends take all beyond.
        low, high = 2.0 ** ((at_unit_depth - (level + 0.5, level - 0.5)) / 3)
        if level < min(farthest, top):
            chosen = chosen & (inverse_depth > low).view(np.uint8)
        if level > max(nearest, 0):
            chosen = chosen & (inverse_depth <= high).view(np.uint8)
        box = _Box(*cv2.boundingRect(chosen))
        if box.width == 0:
            continue
        shrunk = texture.levels[level]
        # (a, b) in [0, 1] to pixels of this level: a runs from the first pixel's outer edge on.
        to_level = np.array([[shrunk.shape[1], 0, -0.5], [0, shrunk.shape[0], -0.5], [0, 0, 1.0]])
        painted = cv2.warpPerspective(
            shrunk,
            to_level @ inverse @ box.shift(),
            (box.width, box.height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        cv2.copyTo(painted, box.of(chosen), box.of(image))
