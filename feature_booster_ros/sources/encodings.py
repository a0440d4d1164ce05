# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Raw pixels as sensor_msgs/Image carries them, to grey or BGR arrays."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class _Layout(NamedTuple):
    """Pixels in memory: number type, channels, and OpenCV's conversion to grey or BGR (or None)."""

    dtype: str
    channels: int
    conversion: int | None = None


# Names of sensor_msgs/image_encodings.hpp. OpenCV names a Bayer pattern after the second and third
# pixel of its second row, ROS after the first two rows: RGGB of ROS is BG of OpenCV.
_LAYOUTS = {
    "mono8": _Layout("uint8", 1),
    "8UC1": _Layout("uint8", 1),
    "mono16": _Layout("uint16", 1),
    "16UC1": _Layout("uint16", 1),
    "bgr8": _Layout("uint8", 3),
    "8UC3": _Layout("uint8", 3),
    "bgr16": _Layout("uint16", 3),
    "16UC3": _Layout("uint16", 3),
    "rgb8": _Layout("uint8", 3, cv2.COLOR_RGB2BGR),
    "rgb16": _Layout("uint16", 3, cv2.COLOR_RGB2BGR),
    "bgra8": _Layout("uint8", 4, cv2.COLOR_BGRA2BGR),
    "8UC4": _Layout("uint8", 4, cv2.COLOR_BGRA2BGR),
    "bgra16": _Layout("uint16", 4, cv2.COLOR_BGRA2BGR),
    "16UC4": _Layout("uint16", 4, cv2.COLOR_BGRA2BGR),
    "rgba8": _Layout("uint8", 4, cv2.COLOR_RGBA2BGR),
    "rgba16": _Layout("uint16", 4, cv2.COLOR_RGBA2BGR),
    "bayer_rggb8": _Layout("uint8", 1, cv2.COLOR_BayerBG2BGR),
    "bayer_bggr8": _Layout("uint8", 1, cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg8": _Layout("uint8", 1, cv2.COLOR_BayerGR2BGR),
    "bayer_grbg8": _Layout("uint8", 1, cv2.COLOR_BayerGB2BGR),
    "bayer_rggb16": _Layout("uint16", 1, cv2.COLOR_BayerBG2BGR),
    "bayer_bggr16": _Layout("uint16", 1, cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg16": _Layout("uint16", 1, cv2.COLOR_BayerGR2BGR),
    "bayer_grbg16": _Layout("uint16", 1, cv2.COLOR_BayerGB2BGR),
    "yuv422": _Layout("uint8", 2, cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": _Layout("uint8", 2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": _Layout("uint8", 2, cv2.COLOR_YUV2BGR_YUYV),
    "yuyv": _Layout("uint8", 2, cv2.COLOR_YUV2BGR_YUYV),
}
# Planar formats: the rows of the half-size colour plane follow those of the brightness.
_PLANAR = {"nv12": cv2.COLOR_YUV2BGR_NV12, "nv21": cv2.COLOR_YUV2BGR_NV21}

ENCODINGS = (*_LAYOUTS, *_PLANAR)


def decode_pixels(
    pixels: bytes | np.ndarray,
    encoding: str,
    width: int,
    height: int,
    step: int,
    is_bigendian: bool = False,
) -> np.ndarray:
    """Turn the fields of a sensor_msgs/Image into a grey or BGR array of its own memory.

    Args:
        pixels: The rows, `step` bytes each.
        encoding: ROS name of the pixel format, one of `ENCODINGS` (capitals do not matter).
        width, height: Size in pixels.
        step: Bytes from one row to the next.
        is_bigendian: Byte order of 16-bit pixels.

    Returns:
        (H, W) or (H, W, 3) BGR, uint8 or uint16.

    Raises:
        ValueError: The encoding is unknown, or size, step and length do not fit one another.
    """
    by_name = {name.lower(): name for name in ENCODINGS}
    name = by_name.get(encoding.lower())
    if name is None:
        raise ValueError(f"encoding {encoding!r} is not one of {', '.join(ENCODINGS)}")
    if width < 1 or height < 1:
        raise ValueError(f"image of {width}x{height} pixels is empty")
    if name in _PLANAR:
        layout = _Layout("uint8", 1, _PLANAR[name])
        if width % 2 or height % 2:
            raise ValueError(f"{name} image of {width}x{height} pixels: both have to be even")
        rows = height * 3 // 2
    else:
        layout, rows = _LAYOUTS[name], height
    dtype = np.dtype(layout.dtype)
    row_bytes = width * layout.channels * dtype.itemsize
    if step < row_bytes:
        raise ValueError(f"step {step} is less than the {row_bytes} bytes of a {name} row")
    flat = np.frombuffer(pixels, np.uint8)
    # The last row may come without its padding.
    if len(flat) < step * (rows - 1) + row_bytes:
        raise ValueError(
            f"{len(flat)} bytes are too few for {rows} rows of {step} bytes "
            f"({width}x{height} {name})"
        )
    if len(flat) < step * rows:
        flat = np.pad(flat, (0, step * rows - len(flat)))
    image = flat[: step * rows].reshape(rows, step)[:, :row_bytes]
    image = np.ascontiguousarray(image).view(dtype.newbyteorder(">" if is_bigendian else "<"))
    image = image.astype(dtype)
    if layout.channels > 1:
        image = image.reshape(rows, width, layout.channels)
    return image if layout.conversion is None else cv2.cvtColor(image, layout.conversion)
