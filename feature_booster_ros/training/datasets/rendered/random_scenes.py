# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random scenes to train on: rooms, streets and heaps of things, covered with photographs.

The axes are those of the camera at the start: x right, y down, z ahead, meters; eye height is
y = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....rendering.camera_paths import rotation
from ....rendering.renderer import Scene, Surface
from .photo_wallpaper import Wallpaper


@dataclass(frozen=True, eq=False)
class RandomScene:
    """A scene, and where cameras go.

    Attributes:
        scene: to be drawn.
        low, high: (3,) corners of the space in which cameras move; things may stand in it.
        targets: (T, 3) points worth looking at.
    """

    scene: Scene
    low: np.ndarray
    high: np.ndarray
    targets: np.ndarray


def random_scene(rng: np.random.Generator, photographs: Sequence[np.ndarray]) -> RandomScene:
    """A room, a street or a heap.

    Args:
        rng: decides all of it.
        photographs: (H, W) uint8 each, what surfaces are covered with.
    """
    kind = (room, street, heap)[rng.integers(3)]
    return kind(rng, Wallpaper(rng, photographs))


def room(rng: np.random.Generator, wallpaper: Wallpaper) -> RandomScene:
    """A hall with boxes, columns and folding screens on the floor, and things that hang."""
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
    """Houses on both sides that stand forward and back, with cars, poles and signs before them."""
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
    """Boxes and boards turned every way, in front of a round wall."""
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
    """A box, a column, a folding screen or something that hangs, at x and z of ``place``."""
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
    """(5, 2) closed outline between two corners."""
    (left, near), (right, far) = low, high
    return np.array([[left, near], [left, far], [right, far], [right, near], [left, near]])


def _circle(center: np.ndarray, radius: float, pieces: int) -> np.ndarray:
    """(pieces + 1, 2) closed outline."""
    angles = np.linspace(0, 2 * np.pi, pieces + 1)
    return center + radius * np.column_stack([np.cos(angles), np.sin(angles)])
