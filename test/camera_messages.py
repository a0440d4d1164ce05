# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages as a camera driver publishes them, of a photograph."""

from __future__ import annotations

import array

import cv2
import numpy as np
import skimage.data
from sensor_msgs.msg import CameraInfo, Image


def photograph(size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """A real photograph (one that ships with scikit-image), (H, W, 3) uint8 BGR of ``size`` (width,
    height).
    """
    return cv2.resize(
        cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR),
        size,
        interpolation=cv2.INTER_AREA,
    )


def gray_photograph(size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """The same as (H, W) uint8."""
    return cv2.cvtColor(photograph(size), cv2.COLOR_BGR2GRAY)


def image_message(
    pixels: np.ndarray, encoding: str, stamp: float = 1.0, padding: int = 0, **fields: object
) -> Image:
    """An Image of (H, W) or (H, W, C) pixels.

    Args:
        pixels: of any type.
        encoding: written into the message as it is.
        stamp: seconds.
        padding: bytes to add to each row.
        **fields: of the message, to set otherwise.
    """
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    message = Image(
        height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=rows.shape[1]
    )
    message.is_bigendian = int(pixels.dtype.byteorder == ">")
    message.data = array.array("B", rows.tobytes())
    message.header.stamp.sec, message.header.stamp.nanosec = int(stamp), round(stamp % 1 * 1e9)
    message.header.frame_id = "camera"
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def camera_info_message(
    width: int = 320, height: int = 240, stamp: float = 1.0, focal: float = 300.0, **fields: object
) -> CameraInfo:
    """A CameraInfo of a pinhole camera."""
    k = [focal, 0.0, width / 2, 0.0, focal, height / 2, 0.0, 0.0, 1.0]
    p = [focal, 0.0, width / 2, 0.0, 0.0, focal, height / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    message = CameraInfo(
        width=width, height=height, k=k, p=p, d=[0.0] * 5, distortion_model="plumb_bob"
    )
    message.header.stamp.sec, message.header.stamp.nanosec = int(stamp), round(stamp % 1 * 1e9)
    message.header.frame_id = "camera"
    for name, value in fields.items():
        setattr(message, name, value)
    return message
