# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages to the (H, W) uint8 arrays that the library takes.

What the fields mean is in ``pixels.py``. cv_bridge converts the usual colors of 8 bits where it is
installed and works. It does not see to the rest: built for another NumPy it fails at import or with
the first image, and the implementation on PyPI passes over row padding, refuses bytes that are
marked as big-endian under NumPy 2, and knows no YUV, no 16 bits and not every Bayer pattern.
"""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from feature_booster_ros import pixels

try:
    from cv_bridge import CvBridge

    _BRIDGE = CvBridge()
except Exception:  # absent, or built for another NumPy or OpenCV
    _BRIDGE = None

_BRIDGED = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4}
"""Bytes of a pixel of the encodings that every implementation of cv_bridge brings to mono8."""


class ImageError(ValueError):
    """An image message that cannot be converted; the message names the field and the remedy."""


def to_gray(message: Image, wide_pixels: str = "stretch") -> np.ndarray:
    """Return the image as (H, W) uint8 gray values.

    A mono8 image is not copied: the array shares the message's memory.

    Args:
        message: Of an encoding that :func:`pixels.decode_raw` takes.
        wide_pixels: How pixels of other types than uint8 become 8 bits, one of
            ``pixels.WIDE_PIXELS``.

    Raises:
        ImageError: A field of the message is not valid or not supported.
    """
    gray = _bridged(message)
    if gray is not None:
        return gray
    try:
        image = pixels.decode_raw(
            message.data,
            message.encoding,
            message.width,
            message.height,
            message.step,
            bool(message.is_bigendian),
            color=False,
        )
    except ValueError as error:
        raise ImageError(f"Image.{error}") from error
    return pixels.to_gray(image, wide_pixels)


def compressed_to_gray(message: CompressedImage, wide_pixels: str = "stretch") -> np.ndarray:
    """Return the compressed image (JPEG, PNG, what OpenCV reads) as (H, W) uint8 gray values.

    Args:
        message: As compressed_image_transport publishes it.
        wide_pixels: As in :func:`to_gray`, for PNG of 16 bits.

    Raises:
        ImageError: The data are no image that OpenCV reads, or truncated.
    """
    try:
        image = pixels.decode_compressed(message.data, message.format)
    except ValueError as error:
        raise ImageError(f"CompressedImage.{error}") from error
    return pixels.to_gray(image, wide_pixels)


def _bridged(message: Image) -> np.ndarray | None:
    """The gray image by cv_bridge, None where that is not known to be right."""
    global _BRIDGE
    row_bytes = message.width * _BRIDGED.get(message.encoding, 0)
    plain = message.step == row_bytes and len(message.data) == row_bytes * message.height > 0
    if _BRIDGE is None or not plain or message.is_bigendian:
        return None
    try:
        return np.asarray(_BRIDGE.imgmsg_to_cv2(message, "mono8"))
    except Exception:  # nothing is wrong with such an image, so the bridge is of no use
        _BRIDGE = None
        return None
