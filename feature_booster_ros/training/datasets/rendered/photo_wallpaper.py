# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Walls' worth of texture from photographs, and the textured shapes that random scenes consist
of.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ....rendering.renderer import Surface, Texture

PIXELS_PER_METRE = 220
"""Of a texture: about what a camera of 500 pixels focal length sees from 2 m away."""
MOST_PIXELS = 2_000_000
"""Of a texture; larger surfaces have fewer pixels to the meter."""


class Wallpaper:
    """Covers surfaces with photographs, and lets one lamp shine on them.

    Args:
        rng: decides what is where.
        photographs: (H, W) uint8 each, of any size.
    """

    def __init__(self, rng: np.random.Generator, photographs: Sequence[np.ndarray]) -> None:
        self._rng, self._photographs = rng, photographs
        direction = rng.normal(size=3)
        self._light = direction / np.linalg.norm(direction)

    def collage(self, width: float, height: float, plain: float = 0.15) -> np.ndarray:
        """Rows of cells of 1 to 3 meters, each a part of a photograph or nearly plain.

        Args:
            width, height: to cover, meters.
            plain: share of the cells that are nearly plain, as real walls often are.

        Returns:
            (H, W) uint8, ``PIXELS_PER_METRE`` unless that would be more than ``MOST_PIXELS``.
        """
        density = min(PIXELS_PER_METRE, np.sqrt(MOST_PIXELS / (width * height)))
        rows, columns = (max(8, round(side * density)) for side in (height, width))
        canvas = np.empty((rows, columns), np.uint8)
        for top, bottom in self._split(rows, density):
            for left, right in self._split(columns, density):
                canvas[top:bottom, left:right] = self._cell(right - left, bottom - top, plain)
        return canvas

    def sky(self) -> np.ndarray:
        """Bright, with soft clouds: (H, W) uint8."""
        grid = self._rng.uniform(150, 240, (12, 24)).astype(np.float32)
        clouds = cv2.resize(grid, (768, 384), interpolation=cv2.INTER_CUBIC)
        return np.clip(clouds, 0, 255).astype(np.uint8)

    def surface(
        self, corner: np.ndarray, right: np.ndarray, down: np.ndarray, image: np.ndarray
    ) -> Surface:
        """A parallelogram with ``image`` on it, as bright as the lamp makes one that faces so."""
        normal = np.cross(right, down)
        facing = abs(normal @ self._light) / np.linalg.norm(normal)
        lit = cv2.convertScaleAbs(image, alpha=0.75 + 0.35 * facing)
        return Surface(corner, right, down, Texture.from_image(lit))

    def ribbon(
        self, outline: np.ndarray, bottom: float, height: float, image: np.ndarray | None = None
    ) -> list[Surface]:
        """An upright wall that follows a line on the floor: straight, folded or, of many short
        pieces, round.

        Args:
            outline: (P, 2) x and z of the line's points, meters.
            bottom: y of the lower edge; y points down.
            height: meters.
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
        self, low: Sequence[float], high: Sequence[float], y: float, image: np.ndarray | None = None
    ) -> Surface:
        """A level rectangle between two corners (x, z) at height y, meters; with a collage on it
        where no image is given.
        """
        width, depth = np.subtract(high, low)
        return self.surface(
            np.array([low[0], y, high[1]]),
            np.array([width, 0.0, 0.0]),
            np.array([0.0, 0.0, -depth]),
            self.collage(width, depth) if image is None else image,
        )

    def panel(
        self, center: np.ndarray, rotation: np.ndarray, width: float, height: float
    ) -> Surface:
        """A rectangle that faces against the third column of ``rotation`` (3, 3)."""
        right, down = rotation[:, 0] * width, rotation[:, 1] * height
        return self.surface(center - right / 2 - down / 2, right, down, self.collage(width, height))

    def box(self, center: np.ndarray, rotation: np.ndarray, size: np.ndarray) -> list[Surface]:
        """The six sides of a box of ``size`` (3,) along the columns of ``rotation`` (3, 3)."""
        sides = []
        for axis in range(3):
            across, along = (axis + 1) % 3, (axis + 2) % 3
            frame = rotation[:, [across, along, axis]]
            for end in (-0.5, 0.5):
                middle = center + end * size[axis] * rotation[:, axis]
                sides.append(self.panel(middle, frame, size[across], size[along]))
        return sides

    def _split(self, pixels: int, density: float) -> list[tuple[int, int]]:
        """Cells of 1 to 3 meters that fill a length, at random; none is much thinner."""
        cuts = [0]
        while pixels - cuts[-1] > 3 * density:
            cuts.append(cuts[-1] + round(self._rng.uniform(1, 2) * density))
        return list(zip(cuts, [*cuts[1:], pixels], strict=True))

    def _cell(self, width: int, height: int, plain: float) -> np.ndarray:
        rng = self._rng
        photograph = self._photographs[rng.integers(len(self._photographs))]
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
