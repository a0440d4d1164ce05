# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write images that image_player_node reads fast enough to play them at high rates."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from feature_booster_ros.camera import Camera
from feature_booster_ros.pixels import to_gray
from feature_booster_ros.sources import Frame
from feature_booster_ros.sources.calibration import write_camera


def prepare_images(
    frames: list[Frame], size: tuple[int, int] | None, folder: Path
) -> tuple[Path, tuple[int, int]]:
    """Write frames as uncompressed images, forward and backward, so that a loop has no jump.

    Args:
        frames: At least one frame.
        size: (width, height) to which images are cropped and scaled; None leaves them as they are.
        folder: Existing folder; the images are written to a folder in it.

    Returns:
        The folder of the images, and their (width, height).
    """
    images = folder / "images"
    images.mkdir()
    for index, frame in enumerate(frames):
        pixels = frame.image if size is None else _fit(frame.image, size)[0]
        if pixels.dtype not in (np.uint8, np.uint16):  # others do not fit into PNM
            pixels = to_gray(pixels)
        path = images / f"{index:04d}.{'pgm' if pixels.ndim == 2 else 'ppm'}"
        cv2.imwrite(str(path), pixels)
        if 0 < index < len(frames) - 1:
            os.link(path, images / f"{2 * (len(frames) - 1) - index:04d}{path.suffix}")
    return images, (pixels.shape[1], pixels.shape[0])


def write_frame_camera(frame: Frame, size: tuple[int, int] | None, path: Path) -> str:
    """Write the intrinsics of a frame cut and scaled to `size` as a camera_info YAML file.

    Returns:
        The path; empty if the frame has no intrinsics.
    """
    camera = frame.camera
    if camera is None:
        return ""
    if size is not None:
        camera = _scaled(camera, *_fit(frame.image, size))
    write_camera(camera, path)
    return str(path)


def _fit(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float, int, int]:
    """Return the middle of an image at `size`, the scale, and the pixels cut off left and above."""
    width, height = size
    scale = max(width / image.shape[1], height / image.shape[0])
    cut_width = min(image.shape[1], round(width / scale))
    cut_height = min(image.shape[0], round(height / scale))
    left, top = (image.shape[1] - cut_width) // 2, (image.shape[0] - cut_height) // 2
    cut = image[top : top + cut_height, left : left + cut_width]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(cut, size, interpolation=way), scale, left, top


def _scaled(camera: Camera, pixels: np.ndarray, scale: float, left: int, top: int) -> Camera:
    (fx, skew, cx), (_, fy, cy), _ = camera.matrix
    # The center of the first pixel is at 0, half a pixel from the image's edge.
    cx, cy = ((value - cut + 0.5) * scale - 0.5 for value, cut in ((cx, left), (cy, top)))
    matrix = np.array([[fx * scale, skew * scale, cx], [0, fy * scale, cy], [0, 0, 1]])
    height, width = pixels.shape[:2]
    return Camera(width, height, matrix, camera.distortion, camera.model)
