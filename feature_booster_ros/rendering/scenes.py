# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Scenes for the renderer: galleries hung with photographs that ship in the scikit-image wheel."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..pixels import read_image
from .renderer import Scene, Surface, Texture

PHOTOGRAPHS = (
    "astronaut.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
"""Files in scikit-image's wheel that hang as pictures. Its other pictures need a download."""

MATERIALS = ("brick.png", "gravel.png", "grass.png")
"""Files in scikit-image's wheel that cover walls, floor and boxes."""


@dataclass(frozen=True)
class GalleryOptions:
    """Shape of a gallery, meters. The camera starts at the origin, eye height, looking along +z.

    Attributes:
        length: Distance from the wall behind the start to the end wall.
        behind: Part of the length that lies behind the start.
        width, height: Size of the hall.
        eye_height: Height of the origin above the floor.
        aisle: Half the width of the free way along the middle.
        wall_pictures: Number of pictures on each long wall.
        panels: Number of free-standing picture walls along the aisle, seen from both sides.
        boxes: Number of boxes on the floor along the aisle.
        hanging: Number of pictures that hang from the ceiling beside the aisle.
    """

    length: float = 17.0
    behind: float = 3.0
    width: float = 8.0
    height: float = 4.0
    eye_height: float = 1.6
    aisle: float = 1.1
    wall_pictures: int = 8
    panels: int = 7
    boxes: int = 10
    hanging: int = 5


def load_images(names: Sequence[str], color: bool = False) -> dict[str, np.ndarray]:
    """Read pictures out of the installed scikit-image wheel, without importing it.

    Returns:
        name to image, (H, W) uint8, or (H, W, 3) BGR with `color`.

    Raises:
        FileNotFoundError: scikit-image is not installed, or its wheel lacks one of them.
    """
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise FileNotFoundError(
            "the rendered sequence takes its textures from scikit-image, which is not installed: "
            "pip install scikit-image"
        )
    folder = Path(package.origin).parent / "data"
    images = {}
    for name in names:
        try:
            image = read_image(folder / name, color=color)
        except ValueError as error:
            raise FileNotFoundError(
                f"scikit-image's picture {name} is not in {folder}: the rendered sequence needs "
                "the pictures of the wheel from PyPI: pip install --force-reinstall scikit-image"
            ) from error
        gray = color and image.ndim == 2
        images[name] = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if gray else image
    return images


def gallery(seed: int = 0, color: bool = False, options: GalleryOptions | None = None) -> Scene:
    """Build a hall with pictures on its walls, and panels, boxes and hung pictures in its depth.

    Args:
        seed: Seed of the arrangement.
        color: Whether textures are BGR instead of gray.
        options: Shape of the hall.
    """
    options = options or GalleryOptions()
    rng = np.random.default_rng([seed, 1])
    supply = _Supply(rng, load_images(PHOTOGRAPHS, color), load_images(MATERIALS, color))
    surfaces = _hall(options, supply)
    surfaces += _wall_pictures(options, rng, supply)
    surfaces += _panels(options, rng, supply)
    surfaces += _boxes(options, rng, supply)
    surfaces += _hanging(options, rng, supply)
    return Scene(surfaces)


class _Supply:
    """Hands out textures: every photograph once, then again mirrored or cropped."""

    def __init__(
        self,
        rng: np.random.Generator,
        photographs: Mapping[str, np.ndarray],
        materials: Mapping[str, np.ndarray],
    ) -> None:
        self._rng = rng
        self._photographs = photographs
        self._materials = materials
        self._queue: list[np.ndarray] = []
        self._rounds = 0

    def photograph(self) -> np.ndarray:
        """Give the next photograph, in an order drawn again for each round."""
        if not self._queue:
            names = self._rng.permutation(sorted(self._photographs))
            self._queue = [self._alter(_trimmed(name, self._photographs[name])) for name in names]
            self._rounds += 1
        return self._queue.pop()

    def material(self, name: str, width: float, height: float, tile: float) -> Texture:
        """Cover `width` x `height` meters with a material whose image is `tile` meters wide.

        Stains of every size lie over it: without them each copy of the image would look exactly
        like the next, and no matcher could tell them apart.
        """
        image = self._materials[name]
        per_meter = image.shape[1] / tile
        size = (round(width * per_meter), round(height * per_meter))
        copies = np.tile(
            image,
            (size[1] // image.shape[0] + 2, size[0] // image.shape[1] + 2)
            + (1,) * (image.ndim - 2),
        )
        top, left = self._rng.integers(0, image.shape[:2])
        covered = copies[top : top + size[1], left : left + size[0]].astype(np.float32)
        stains = 1.0 + 0.5 * _clouds(self._rng, size)
        covered *= stains if image.ndim == 2 else stains[..., None]
        return Texture.from_image(np.clip(covered, 0, 255).astype(np.uint8))

    def _alter(self, image: np.ndarray) -> np.ndarray:
        if self._rounds == 0:
            return image
        if self._rounds % 2:
            image = image[:, ::-1]
        share = self._rng.uniform(0.55, 0.8)
        height, width = (np.array(image.shape[:2]) * share).astype(int)
        top = self._rng.integers(0, image.shape[0] - height + 1)
        left = self._rng.integers(0, image.shape[1] - width + 1)
        return image[top : top + height, left : left + width]


def _trimmed(name: str, image: np.ndarray) -> np.ndarray:
    """Cut off the black surround of the retina's round photograph."""
    return image[230:1180, 230:1180] if name.startswith("retina") else image


def _clouds(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Sum noise over octaves, amplitude as wavelength^0.5: (H, W) float32, about -1 to 1."""
    width, height = size
    clouds = np.zeros((height, width), np.float32)
    wavelength, total = 4.0, 0.0
    while wavelength < max(size):
        shape = (int(np.ceil(height / wavelength)) + 2, int(np.ceil(width / wavelength)) + 2)
        grid = rng.uniform(-1, 1, shape).astype(np.float32)
        amplitude = wavelength**0.5
        clouds += amplitude * cv2.resize(grid, size, interpolation=cv2.INTER_LINEAR)
        total += amplitude
        wavelength *= 2.0
    return clouds * (2.0 / total)


def _hall(options: GalleryOptions, supply: _Supply) -> list[Surface]:
    """Give the four walls, the floor and the ceiling, seen from inside."""
    o = options
    floor, ceiling = o.eye_height, o.eye_height - o.height
    middle = o.length / 2 - o.behind  # along z
    half = o.height / 2
    wall_y = (floor + ceiling) / 2
    end = supply.material("brick.png", o.width, o.height, tile=2.6)
    back = supply.material("brick.png", o.width, o.height, tile=2.6)
    surfaces = [
        _rectangle((0, wall_y, o.length - o.behind), (0, 0, 1), o.width, o.height, end),
        _rectangle((0, wall_y, -o.behind), (0, 0, -1), o.width, o.height, back),
    ]
    for side in (-1, 1):
        wall = supply.material("brick.png", o.length, o.height, tile=2.6)
        surfaces.append(
            _rectangle((side * o.width / 2, wall_y, middle), (side, 0, 0), o.length, 2 * half, wall)
        )
    corner = np.array([-o.width / 2, floor, o.length - o.behind])
    across, along = np.array([o.width, 0, 0]), np.array([0, 0, -o.length])
    for y, name, tile in ((floor, "gravel.png", 2.2), (ceiling, "grass.png", 3.0)):
        surfaces.append(
            Surface(
                corner * (1, 0, 1) + (0, y, 0),
                across,
                along,
                supply.material(name, o.width, o.length, tile),
            )
        )
    return surfaces


def _wall_pictures(
    options: GalleryOptions, rng: np.random.Generator, supply: _Supply
) -> list[Surface]:
    """Hang pictures along the long walls and two on each end wall, a little in front of them."""
    o = options
    pictures = []
    pitch = o.length / o.wall_pictures
    for side in (-1, 1):
        for i in range(o.wall_pictures):
            z = -o.behind + (i + 0.5 + rng.uniform(-0.1, 0.1)) * pitch
            x = side * (o.width / 2 - rng.uniform(0.02, 0.15))
            pictures.append(
                _picture(
                    (x, rng.uniform(-0.7, 0.1), z),
                    (side, 0, 0),
                    rng.uniform(0.65, 0.85) * pitch,
                    supply.photograph(),
                )
            )
    for z, forward in ((o.length - o.behind - 0.1, 1), (0.1 - o.behind, -1)):
        for x in (-0.25 * o.width, 0.2 * o.width):
            place = (x, rng.uniform(-0.6, 0.0), z)
            width = rng.uniform(0.25, 0.35) * o.width
            pictures.append(_picture(place, (0, 0, forward), width, supply.photograph()))
    return pictures


def _panels(options: GalleryOptions, rng: np.random.Generator, supply: _Supply) -> list[Surface]:
    """Stand picture walls beside the aisle, alternately left and right, turned to face it."""
    o = options
    pictures = []
    pitch = (o.length - o.behind - 3.0) / max(o.panels, 1)
    for i in range(o.panels):
        side = -1 if i % 2 else 1
        width = rng.uniform(0.9, 1.4)
        yaw = side * np.deg2rad(rng.uniform(5, 40))
        x = side * (o.aisle + width / 2 + rng.uniform(0.0, 0.5))
        z = 2.0 + (i + rng.uniform(0, 0.4)) * pitch
        pictures.append(
            _picture(
                (x, o.eye_height - 1.35 + rng.uniform(-0.2, 0.2), z),
                (np.sin(yaw), 0, np.cos(yaw)),
                width,
                supply.photograph(),
            )
        )
    return pictures


def _hanging(options: GalleryOptions, rng: np.random.Generator, supply: _Supply) -> list[Surface]:
    """Hang small pictures above both sides of the aisle, tilted down a little."""
    o = options
    pictures = []
    pitch = (o.length - o.behind - 2.0) / max(o.hanging, 1)
    for i in range(o.hanging):
        side = 1 if i % 2 else -1
        x = side * (o.aisle + rng.uniform(0.3, 1.2))
        y = o.eye_height - o.height + rng.uniform(0.5, 0.8)
        tilt = np.deg2rad(rng.uniform(0, 20))
        pictures.append(
            _picture(
                (x, y, 2.5 + (i + rng.uniform(0, 0.5)) * pitch),
                (0, -np.sin(tilt), np.cos(tilt)),
                rng.uniform(0.7, 1.0),
                supply.photograph(),
            )
        )
    return pictures


def _boxes(options: GalleryOptions, rng: np.random.Generator, supply: _Supply) -> list[Surface]:
    """Put boxes on the floor beside the aisle, their sides covered in turn by all there is."""
    o = options
    faces = []
    pitch = (o.length - o.behind - 1.5) / max(o.boxes, 1)
    for i in range(o.boxes):
        side = 1 if i % 2 else -1
        size = rng.uniform(0.4, 0.9, 3)
        yaw = rng.uniform(-0.6, 0.6)
        reach = np.hypot(size[0], size[2]) / 2
        center = np.array(
            [
                side * (o.aisle + reach + rng.uniform(0, 0.6)),
                o.eye_height - size[1] / 2,
                1.5 + (i + rng.uniform(0, 0.5)) * pitch,
            ]
        )
        for turn in range(4):
            angle = yaw + turn * np.pi / 2
            forward = np.array([np.sin(angle), 0, np.cos(angle)])
            across, deep = (size[0], size[2]) if turn % 2 == 0 else (size[2], size[0])
            faces.append(
                _rectangle(
                    center - forward * deep / 2,
                    forward,
                    across,
                    size[1],
                    _face(rng, supply, across, size[1]),
                )
            )
        right = np.array([np.cos(yaw), 0, -np.sin(yaw)]) * size[0]
        toward = -np.array([np.sin(yaw), 0, np.cos(yaw)]) * size[2]
        top = center - (0, size[1] / 2, 0)
        faces.append(
            Surface(
                top - right / 2 - toward / 2, right, toward, _face(rng, supply, size[0], size[2])
            )
        )
    return faces


def _face(rng: np.random.Generator, supply: _Supply, width: float, height: float) -> Texture:
    """Cover a box's side: a material, or a photograph cut to the side's proportions."""
    if rng.random() < 0.4:
        return supply.material(rng.choice(MATERIALS), width, height, tile=rng.uniform(0.8, 1.6))
    photograph = supply.photograph()
    rows, columns = photograph.shape[:2]
    columns = min(columns, round(rows * width / height))
    rows = min(rows, round(columns * height / width))
    return Texture.from_image(photograph[:rows, :columns])


def _picture(
    center: ArrayLike, forward: ArrayLike, width: float, photograph: np.ndarray
) -> Surface:
    """Hang a photograph, `width` meters wide, in a white mount with a dark frame."""
    rows, columns = photograph.shape[:2]
    mount, frame = max(4, columns // 25), max(2, columns // 60)
    framed = _border(_border(photograph, mount, 225), frame, 40)
    height = width * framed.shape[0] / framed.shape[1]
    # A portrait may not reach into floor or ceiling.
    shrink = min(1.0, 2.2 / height)
    return _rectangle(center, forward, width * shrink, height * shrink, Texture.from_image(framed))


def _border(image: np.ndarray, width: int, gray: int) -> np.ndarray:
    """Return the image with a border of `width` pixels."""
    return cv2.copyMakeBorder(
        image, width, width, width, width, cv2.BORDER_CONSTANT, value=[gray] * 3
    )


def _rectangle(
    center: ArrayLike, forward: ArrayLike, width: float, height: float, texture: Texture
) -> Surface:
    """Give the rectangle that a viewer who looks along `forward` sees upright and unmirrored."""
    direction = np.asarray(forward, np.float64)
    right = np.cross((0.0, 1.0, 0.0), direction)
    right /= np.linalg.norm(right)
    down = np.cross(direction, right)
    right, down = right * width, down / np.linalg.norm(down) * height
    return Surface(np.asarray(center, np.float64) - right / 2 - down / 2, right, down, texture)
