# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random cameras that look at the same things of a scene from different sides and distances."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....rendering.camera_paths import rotation
from ....rendering.renderer import Scene, draw_depth
from .random_scenes import RandomScene

LARGEST_SCALE_CHANGE = 3.0
"""Between the nearest and the farthest camera's view of what they look at."""
CLEARANCE = 0.6, 1.2
"""Meters that all but a twentieth, and all but a quarter, of what a camera sees is away from it."""
_COARSE = 8  # images are this many times smaller where it is only looked whether they are any good
_DRAWS = 20  # for each camera that is wanted


def random_cameras(
    rng: np.random.Generator, scene: RandomScene, count: int, shape: tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cameras that see something, and not just the surface before their lens.

    They stand about the line from one place to one target, up to ``LARGEST_SCALE_CHANGE`` times
    nearer than that place, beside the line, and look roughly at the target; a tenth of them is
    rolled by any angle.

    Args:
        rng: decides where they are.
        scene: what they look at.
        count: how many are wanted; fewer come where the scene is cramped.
        shape: (height, width) of the images in pixels.

    Yields:
        (3, 3) intrinsics and (4, 4) camera-to-world pose.
    """
    target = scene.targets[rng.integers(len(scene.targets))]
    starts = rng.uniform(scene.low, scene.high, (16, 3))
    start = starts[np.linalg.norm(starts - target, axis=1).argmax()]
    field_of_view = np.deg2rad(rng.uniform(50, 85))
    found = 0
    for _ in range(count * _DRAWS):
        matrix = _intrinsics(rng, field_of_view, shape)
        pose = _pose(rng, start, target, scene)
        if _sees_something(scene.scene, matrix, pose, shape):
            yield matrix, pose
            found += 1
        if found == count:
            return


def scaled_intrinsics(
    matrix: np.ndarray, shape: tuple[int, int], to_shape: tuple[int, int]
) -> np.ndarray:
    """Intrinsics (3, 3) of an image of (height, width) resized to another, outer edges on outer
    edges.
    """
    x, y = to_shape[1] / shape[1], to_shape[0] / shape[0]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]]) @ matrix


def _intrinsics(
    rng: np.random.Generator, field_of_view: float, shape: tuple[int, int]
) -> np.ndarray:
    height, width = shape
    focal = width / 2 / np.tan(field_of_view / 2) * 2.0 ** rng.normal(0, 0.12)
    center = rng.normal(((width - 1) / 2, (height - 1) / 2), 0.01 * width)
    return np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1]])


def _pose(
    rng: np.random.Generator, start: np.ndarray, target: np.ndarray, scene: RandomScene
) -> np.ndarray:
    distance = np.linalg.norm(start - target)
    nearer = LARGEST_SCALE_CHANGE ** -rng.uniform(0, 1)
    spread = np.minimum(0.2 * distance * nearer, 0.4 * (scene.high - scene.low))
    position = target + (start - target) * nearer + rng.normal(0, spread)
    position = np.clip(position, scene.low, scene.high)
    x, y, z = target + rng.normal(0, 0.12 * distance * nearer, 3) - position
    roll = rng.normal(0, 12) if rng.random() >= 0.1 else rng.uniform(-180, 180)
    pose = np.eye(4)
    pose[:3, :3] = rotation(np.arctan2(x, z), -np.arctan2(y, np.hypot(x, z)), np.deg2rad(roll))
    pose[:3, 3] = position
    return pose


def _sees_something(
    scene: Scene, matrix: np.ndarray, pose: np.ndarray, shape: tuple[int, int]
) -> bool:
    height, width = small = (max(1, shape[0] // _COARSE), max(1, shape[1] // _COARSE))
    depth = draw_depth(scene, scaled_intrinsics(matrix, shape, small), pose, width, height)
    return bool(
        (np.quantile(depth, (0.05, 0.25)) > CLEARANCE).all() and np.isfinite(depth).mean() > 0.98
    )
