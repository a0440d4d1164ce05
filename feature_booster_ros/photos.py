# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Photographs in a folder, and random views of them whose homography is known."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .pixels import read_gray, shrink
from .sources.image_sequence import IMAGE_SUFFIXES, image_paths

logger = logging.getLogger(__name__)

UPRIGHT_ROLL = 5.0
"""Standard deviation of the roll of a camera that is held upright [deg]."""
MAX_BLUR = 10.0
"""Longest way of a point in the image during the exposure [px]."""


def find_photos(folder: str | Path) -> list[Path]:
    """Return the images below a folder in natural order, hidden ones left out.

    Raises:
        FileNotFoundError: There is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of photographs at {folder}")
    photos = image_paths(folder, below=True)
    if not photos:
        raise FileNotFoundError(
            f"no image in {folder}; looked for {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return photos


def split_photos(photos: list[Path], holdout: int) -> tuple[list[Path], list[Path]]:
    """Return the photographs to train on, and those to validate and test on.

    Args:
        photos: All of them.
        holdout: Every ``holdout``-th one is held out, beginning with the first.
    """
    held_out = photos[::holdout]
    return [path for number, path in enumerate(photos) if number % holdout], held_out


def read_photo(path: Path, longest_side: int) -> np.ndarray | None:
    """Return a photograph as (H, W) uint8 of at most that longest side.

    Returns:
        None, with a warning, if it cannot be read.
    """
    try:
        return shrink(read_gray(path), longest_side)[0]
    except ValueError as error:
        logger.warning("left out: %s", error)
        return None


@dataclass(frozen=True)
class ViewDistribution:
    """How far the random views of a photograph differ from it."""

    rotation: float = 25.0
    """Standard deviation of the roll, for most of the views [deg]."""
    full_rotation_share: float = 0.15
    """Share of the views that are rolled by any angle."""
    upright_share: float = 0.0
    """Share of the views whose roll is that of an upright camera instead."""
    log2_scale: float = 0.45
    """Standard deviation of the zoom [octaves]."""
    tilt: float = 20.0
    """Standard deviation of each of the two rotations out of the image plane [deg]."""
    shift: float = 0.1
    """Standard deviation of the shift, as a share of the photograph's size."""
    motion_blur: float = 0.15
    """Share of the views that are taken while the camera moves."""


def random_homography(
    rng: np.random.Generator, shape: tuple[int, ...], views: ViewDistribution
) -> np.ndarray:
    """Return a (3, 3) homography from pixels of a photograph to pixels of a random view of it.

    The photograph is a plane in front of a pinhole camera with a field of view of about 50 degrees,
    which turns and moves, so the perspective is one that a camera can see.

    Args:
        rng: Source of randomness.
        shape: (height, width, ...) of photograph and view.
        views: How far the view differs.
    """
    height, width = shape[:2]
    focal = 1.1 * max(height, width)
    if views.upright_share and rng.random() < views.upright_share:
        roll = rng.normal(0, UPRIGHT_ROLL)
    elif rng.random() >= views.full_rotation_share:
        roll = rng.normal(0, views.rotation)
    else:
        roll = rng.uniform(-180, 180)
    tilt, pan = np.clip(rng.normal(0, views.tilt, 2), -60, 60)
    zoom = 2.0 ** np.clip(rng.normal(0, views.log2_scale), -1.5, 1.5)
    rotation = _rotation(2, roll) @ _rotation(0, tilt) @ _rotation(1, pan)
    # The plane's two axes and its center, as seen by the camera: the columns of a plane-induced
    # homography.
    plane = np.column_stack([rotation[:, 0], rotation[:, 1], [0, 0, focal / zoom]])
    center_photo = np.array([[1, 0, -(width - 1) / 2], [0, 1, -(height - 1) / 2], [0, 0, 1.0]])
    shift = rng.normal(0, views.shift, 2) * (width, height)
    camera = np.array(
        [[focal, 0, (width - 1) / 2 + shift[0]], [0, focal, (height - 1) / 2 + shift[1]], [0, 0, 1]]
    )
    homography = camera @ plane @ center_photo
    # Scaled to depth 1 at the center, which lies before the camera, so that the sign of depth keeps
    # its meaning.
    center = homography @ [(width - 1) / 2, (height - 1) / 2, 1.0]
    return homography / center[2]


def _rotation(axis: int, degrees: float) -> np.ndarray:
    vector = np.zeros(3)
    vector[axis] = np.deg2rad(degrees)
    return cv2.Rodrigues(vector)[0]


def warp_points(points: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Return points (..., 2) mapped by a homography (3, 3), NaN if behind the camera."""
    mapped = points @ homography[:, :2].T + homography[:, 2]
    depth = mapped[..., 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(depth > 1e-9, mapped[..., :2] / depth, np.nan)


def warp_image(image: np.ndarray, homography: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a view of ``image`` (H, W) uint8, and the mask (H, W) uint8 of what the image covers.

    Where the view shrinks the image, it is blurred first, as a lens does.
    """
    height, width = image.shape
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    corners = warp_points(center + np.array([[0, 0], [1, 0], [0, 1]]), homography)
    reduction = 1 / np.sqrt(max(abs(np.linalg.det(corners[1:] - corners[0])), 1e-6))
    if reduction > 1:
        image = cv2.GaussianBlur(image, (0, 0), 0.5 * np.sqrt(reduction**2 - 1) + 1e-3)
    view = cv2.warpPerspective(
        image, homography, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    inside = np.full(image.shape, 255, np.uint8)
    mask = cv2.warpPerspective(inside, homography, (width, height), flags=cv2.INTER_NEAREST)
    return view, cv2.erode(mask, np.ones((9, 9), np.uint8), borderValue=255)


def change_light(
    rng: np.random.Generator, image: np.ndarray, motion_blur: float = 0.0
) -> np.ndarray:
    """Return ``image`` (H, W) uint8 with random exposure, contrast, gamma, shade, blur and noise.

    Args:
        rng: Source of randomness.
        image: What the camera sees.
        motion_blur: Probability that the camera moves during the exposure, in any direction, by up
            to ``MAX_BLUR`` pixels.
    """
    pixels: np.ndarray = image.astype(np.float32) / 255
    pixels = pixels ** np.float32(2.0 ** rng.normal(0, 0.4))
    pixels = (pixels - 0.5) * np.float32(rng.uniform(0.6, 1.3)) + np.float32(
        0.5 + rng.normal(0, 0.08)
    )
    if rng.random() < 0.3:
        height, width = image.shape
        direction = rng.normal(0, 0.3, 2)
        shade = (
            np.linspace(-1, 1, width) * direction[0]
            + np.linspace(-1, 1, height)[:, None] * direction[1]
        )
        pixels *= np.exp(shade).astype(np.float32)
    if rng.random() < 0.4:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 1.5))
    if motion_blur and rng.random() < motion_blur:
        pixels = cv2.filter2D(pixels, -1, _motion_kernel(rng), borderType=cv2.BORDER_REFLECT)
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(0, 0.03))
    return np.clip((pixels + noise) * 255, 0, 255).astype(np.uint8)


def _motion_kernel(rng: np.random.Generator) -> np.ndarray:
    """Return (K, K) float32 that sums to 1: a straight stroke through the center.

    It is centered so that the image does not shift.
    """
    half = rng.uniform(1.0, MAX_BLUR / 2)
    angle = rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * half
    size = 2 * int(np.ceil(half)) + 1
    center = (size - 1) / 2
    # Drawn in sixteenths of a pixel, as a stroke in whole pixels would be off its direction.
    start, end = (np.rint((center + side * reach) * 16).astype(int).tolist() for side in (-1, 1))
    kernel = cv2.line(np.zeros((size, size), np.uint8), start, end, 255, 1, cv2.LINE_AA, shift=4)
    return kernel.astype(np.float32) / kernel.sum()
