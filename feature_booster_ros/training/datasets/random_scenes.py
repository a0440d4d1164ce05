# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make random scenes: rooms, streets and heaps of things, covered with photographs.

The axes are those of the first camera: x right, y down, z ahead [m]; eye height is y = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ...rendering.camera_paths import rotation
from ...rendering.renderer import Scene, Surface, Texture

TEXTURE_DENSITY = 220
"""Resolution of a texture [px/m]: what a camera of 500 px focal length sees from 2 m away."""
MAX_TEXTURE_PIXELS = 2_000_000
"""Most pixels of a texture; larger surfaces have a lower resolution."""


@dataclass(frozen=True, eq=False)
class RandomScene:
    """A scene and the space of its cameras.

    Attributes:
        scene: Scene to draw.
        low: (3,) lowest corner of the space in which cameras move; things may be in it.
        high: (3,) highest corner.
        targets: (T, 3) points that cameras look at.
    """

    scene: Scene
    low: np.ndarray
    high: np.ndarray
    targets: np.ndarray


def random_scene(rng: np.random.Generator, photographs: Sequence[np.ndarray]) -> RandomScene:
    """Make a room, a street or a heap.

    Args:
        rng: Source of randomness.
        photographs: Images (H, W) uint8 that cover the surfaces.
    """
    kind = (room, street, heap)[rng.integers(3)]
    return kind(rng, Wallpaper(rng, photographs))


def room(rng: np.random.Generator, wallpaper: Wallpaper) -> RandomScene:
    """Make a hall with boxes, columns and folding screens on the floor, and hanging things."""
    width, length, height = rng.uniform((4.5, 6, 2.6), (9, 14, 4.5))
    low, high, bottom = np.array([-width / 2, 0]), np.array([width / 2, length]), 1.5
    surfaces = wallpaper.ribbon(_rectangle(low, high), bottom, height)
    surfaces += [wallpaper.floor(low, high, y) for y in (bottom, bottom - height)]
    places = rng.uniform(low + 0.5, high - 0.5, (rng.integers(8, 18), 2))
    for place in places:
        surfaces += _thing(rng, wallpaper, place, bottom, height)
    targets = np.column_stack([places[:, 0], rng.uniform(-0.5, 0.8, len(places)), places[:, 1]])
    return RandomScene(
        Scene(surfaces),
        np.array([low[0] + 0.5, -0.8, low[1] + 0.5]),
        np.array([high[0] - 0.5, 0.8, high[1] - 0.5]),
        targets,
    )


def street(rng: np.random.Generator, wallpaper: Wallpaper) -> RandomScene:
    """Make a street of houses on both sides, with cars, poles and signs in front of them."""
    bottom, begin, end = rng.uniform(1.2, 1.8), -8.0, rng.uniform(40, 60)
    road = wallpaper.collage(28, end - begin, plain=0.7)
    surfaces = [wallpaper.floor((-14, begin), (14, end), bottom, road)]
    for side in (-1, 1):
        z = begin
        while z < end:
            front, until = side * rng.uniform(3.5, 7.0), z + rng.uniform(4, 10)
            back = front + 5 * side
            outline = np.array([[back, z], [front, z], [front, until], [back, until]])
            surfaces += wallpaper.ribbon(outline, bottom, rng.uniform(3.5, 10))
            z = until + (rng.uniform(1, 4) if rng.random() < 0.4 else 0.0)
    across = np.array([[-14, end], [14, end]])
    surfaces += wallpaper.ribbon(across, bottom, rng.uniform(4, 9))
    far = np.array([90.0, 90.0])
    surfaces += wallpaper.ribbon(_rectangle(-far, far), 10.0, 60.0, wallpaper.sky())
    surfaces += [wallpaper.floor(-far, far, y, wallpaper.sky()) for y in (-50.0, 10.0)]
    for _ in range(rng.integers(8, 16)):
        place = np.array([rng.choice((-1, 1)) * rng.uniform(2.2, 3.4), rng.uniform(2, end - 5)])
        kind = rng.random()
        if kind < 0.4:
            size = rng.uniform((1.4, 1.2, 2.5), (1.9, 2.4, 4.5))
            center = np.array([place[0], bottom - size[1] / 2, place[1]])
            surfaces += wallpaper.box(center, rotation(rng.normal(0, 0.1), 0, 0), size)
        elif kind < 0.75:
            circle = _circle(place, rng.uniform(0.06, 0.3), 6)
            surfaces += wallpaper.ribbon(circle, bottom, rng.uniform(2.5, 6))
        else:
            center = np.array([place[0], bottom - rng.uniform(1.5, 3.0), place[1]])
            turned = rotation(rng.normal(0, 0.5), 0, 0)
            surfaces.append(wallpaper.panel(center, turned, *rng.uniform(0.6, 1.6, 2)))
    targets = rng.uniform((-3.5, -1.5, 16), (3.5, 0.5, 40), (8, 3))
    return RandomScene(
        Scene(surfaces), np.array([-1.8, -0.6, -2]), np.array([1.8, 0.6, 24]), targets
    )


def heap(rng: np.random.Generator, wallpaper: Wallpaper) -> RandomScene:
    """Make boxes and boards of any orientation in front of a round wall."""
    bottom, radius = 3.0, rng.uniform(8, 12)
    circle = _circle(np.array([0.0, 4.0]), radius, 16)
    surfaces = wallpaper.ribbon(circle, bottom, 9.0)
    low, high = circle.min(axis=0), circle.max(axis=0)
    surfaces += [wallpaper.floor(low, high, y) for y in (bottom, bottom - 9.0)]
    centers = rng.normal((0, 0.3, 6.0), (1.8, 1.0, 1.5), (rng.integers(10, 26), 3))
    for center in centers:
        turned = rotation(*rng.uniform(-np.pi, np.pi, 3))
        if rng.random() < 0.4:
            surfaces += wallpaper.box(center, turned, rng.uniform(0.3, 1.4, 3))
        else:
            surfaces.append(wallpaper.panel(center, turned, *rng.uniform(0.5, 2.0, 2)))
    return RandomScene(
        Scene(surfaces), np.array([-4.0, -1.5, -2.5]), np.array([4.0, 1.5, 4.0]), centers
    )


def _thing(
    rng: np.random.Generator, wallpaper: Wallpaper, place: np.ndarray, bottom: float, height: float
) -> list[Surface]:
    """Make a box, a column, a folding screen or a hanging thing at x and z of ``place``."""
    x, z = place
    kind = rng.integers(5)
    if kind == 0:
        size = rng.uniform(0.4, 1.5, 3)
        turned = rotation(rng.uniform(-np.pi, np.pi), 0, 0)
        return wallpaper.box(np.array([x, bottom - size[1] / 2, z]), turned, size)
    if kind == 1:
        return wallpaper.ribbon(_circle(place, rng.uniform(0.1, 0.5), 10), bottom, height)
    if kind == 2:
        folds = np.column_stack([np.arange(5) - 2.0, 0.5 * (np.arange(5) % 2)]) * 0.7
        turned = rotation(rng.uniform(-np.pi, np.pi), 0, 0)[np.ix_([0, 2], [0, 2])]
        return wallpaper.ribbon(place + folds @ turned.T, bottom, rng.uniform(1.0, 2.2))
    center = np.array([x, rng.uniform(-0.8, 0.6), z])
    turned = rotation(*rng.uniform((-np.pi, -0.6, -0.6), (np.pi, 0.6, 0.6)))
    if kind == 3:
        return wallpaper.box(center, turned, rng.uniform(0.3, 0.9, 3))
    return [wallpaper.panel(center, turned, *rng.uniform(0.5, 1.6, 2))]


def _rectangle(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the closed outline (5, 2) between two corners."""
    (left, near), (right, far) = low, high
    return np.array([[left, near], [left, far], [right, far], [right, near], [left, near]])


def _circle(center: np.ndarray, radius: float, pieces: int) -> np.ndarray:
    """Return the closed outline (pieces + 1, 2) of a circle."""
    angles = np.linspace(0, 2 * np.pi, pieces + 1)
    return center + radius * np.column_stack([np.cos(angles), np.sin(angles)])


class Wallpaper:
    """Surfaces covered with photographs in the light of one lamp.

    Args:
        rng: Source of randomness.
        photographs: Images (H, W) uint8 of any size.
    """

    def __init__(self, rng: np.random.Generator, photographs: Sequence[np.ndarray]) -> None:
        self._rng, self._photographs = rng, photographs
        direction = rng.normal(size=3)
        self._light = direction / np.linalg.norm(direction)

    def collage(self, width: float, height: float, plain: float = 0.15) -> np.ndarray:
        """Make a texture of cells of 1 to 3 m, each a part of a photograph or nearly plain.

        Args:
            width: Width to cover [m].
            height: Height to cover [m].
            plain: Share of the cells that are nearly plain, as real walls often are.

        Returns:
            (H, W) uint8 of ``TEXTURE_DENSITY``, but at most ``MAX_TEXTURE_PIXELS``.
        """
        density = min(TEXTURE_DENSITY, np.sqrt(MAX_TEXTURE_PIXELS / (width * height)))
        rows, columns = (max(8, round(side * density)) for side in (height, width))
        canvas = np.empty((rows, columns), np.uint8)
        for top, bottom in self._split(rows, density):
            for left, right in self._split(columns, density):
                canvas[top:bottom, left:right] = self._cell(right - left, bottom - top, plain)
        return canvas

    def sky(self) -> np.ndarray:
        """Make a bright texture (H, W) uint8 with soft clouds."""
        grid = self._rng.uniform(150, 240, (12, 24)).astype(np.float32)
        clouds = cv2.resize(grid, (768, 384), interpolation=cv2.INTER_CUBIC)
        return np.clip(clouds, 0, 255).astype(np.uint8)

    def surface(
        self, corner: np.ndarray, right: np.ndarray, down: np.ndarray, image: np.ndarray
    ) -> Surface:
        """Make a parallelogram with ``image`` on it, shaded by the lamp."""
        normal = np.cross(right, down)
        facing = abs(normal @ self._light) / np.linalg.norm(normal)
        lit = cv2.convertScaleAbs(image, alpha=0.75 + 0.35 * facing)
        return Surface(corner, right, down, Texture.from_image(lit))

    def ribbon(
        self, outline: np.ndarray, bottom: float, height: float, image: np.ndarray | None = None
    ) -> list[Surface]:
        """Make an upright wall along a line on the floor.

        Args:
            outline: (P, 2) x and z of the line's points [m].
            bottom: y of the lower edge; y points down [m].
            height: Height of the wall [m].
            image: (H, W) uint8 to cover all of it, or None for a collage.
        """
        steps = np.diff(outline, axis=0)
        ends = np.append(0, np.cumsum(np.linalg.norm(steps, axis=1)))
        if image is None:
            image = self.collage(ends[-1], height)
        columns = np.round(ends / ends[-1] * image.shape[1]).astype(int)
        return [
            self.surface(
                np.array([start[0], bottom - height, start[1]]),
                np.array([step[0], 0.0, step[1]]),
                np.array([0.0, height, 0.0]),
                image[:, min(first, image.shape[1] - 2) : max(last, first + 2)],
            )
            for start, step, first, last in zip(
                outline[:-1], steps, columns[:-1], columns[1:], strict=True
            )
        ]

    def floor(
        self, low: ArrayLike, high: ArrayLike, y: float, image: np.ndarray | None = None
    ) -> Surface:
        """Make a level rectangle between two corners (x, z) [m].

        Args:
            low: (2,) lowest x and z.
            high: (2,) highest x and z.
            y: Height, pointing down.
            image: (H, W) uint8 to cover it, or None for a collage.
        """
        (left, near), (right, far) = np.asarray(low), np.asarray(high)
        width, depth = right - left, far - near
        return self.surface(
            np.array([left, y, far]),
            np.array([width, 0.0, 0.0]),
            np.array([0.0, 0.0, -depth]),
            self.collage(width, depth) if image is None else image,
        )

    def panel(
        self, center: np.ndarray, rotation: np.ndarray, width: float, height: float
    ) -> Surface:
        """Make a rectangle that faces against the third column of ``rotation`` (3, 3)."""
        right, down = rotation[:, 0] * width, rotation[:, 1] * height
        return self.surface(center - right / 2 - down / 2, right, down, self.collage(width, height))

    def box(self, center: np.ndarray, rotation: np.ndarray, size: np.ndarray) -> list[Surface]:
        """Make the six sides of a box of ``size`` (3,) along the columns of ``rotation`` (3, 3)."""
        sides = []
        for axis in range(3):
            across, along = (axis + 1) % 3, (axis + 2) % 3
            frame = rotation[:, [across, along, axis]]
            for end in (-0.5, 0.5):
                middle = center + end * size[axis] * rotation[:, axis]
                sides.append(self.panel(middle, frame, size[across], size[along]))
        return sides

    def _split(self, pixels: int, density: float) -> list[tuple[int, int]]:
        """Split a length at random into cells of 1 to 3 m."""
        cuts = [0]
        while pixels - cuts[-1] > 3 * density:
            cuts.append(cuts[-1] + round(self._rng.uniform(1, 2) * density))
        return list(zip(cuts, [*cuts[1:], pixels], strict=True))

    def _cell(self, width: int, height: int, plain: float) -> np.ndarray:
        rng = self._rng
        photograph = self._photographs[int(rng.integers(len(self._photographs)))]
        rows, columns = photograph.shape
        share = min(columns / width, rows / height) * rng.uniform(0.6, 1.0)
        cut_columns, cut_rows = max(2, int(width * share)), max(2, int(height * share))
        top = rng.integers(rows - cut_rows + 1)
        left = rng.integers(columns - cut_columns + 1)
        part = photograph[top : top + cut_rows, left : left + cut_columns]
        if rng.random() < 0.5:
            part = part[:, ::-1]
        shrinks = share > 1
        cell = cv2.resize(
            part, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        )
        if rng.random() < plain:
            return cv2.convertScaleAbs(cell, alpha=0.2, beta=rng.uniform(60, 150))
        return cell
