# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Convert image messages to the (H, W) uint8 arrays that the library takes, and arrays to messages.

What the fields mean is in ``pixels.py``. cv_bridge converts the usual colors of 8 bits where it is
installed and works. It is not used for the rest: built for another NumPy it fails at import or with
the first image, and the implementation on PyPI ignores row padding, refuses bytes that are marked
as big-endian under NumPy 2, and supports no YUV, no 16 bits and not every Bayer pattern.
"""

from __future__ import annotations

import array

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from feature_booster_ros import pixels
from feature_booster_ros.depth import to_meters
from feature_booster_ros.depth.images import decode_compressed_depth, encode_compressed_depth

try:
    from cv_bridge import CvBridge

    _BRIDGE = CvBridge()
except Exception:  # absent, or built for another NumPy or OpenCV
    _BRIDGE = None

_BRIDGED = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4}
"""Bytes of a pixel of the encodings that every implementation of cv_bridge converts to mono8."""


class ImageError(ValueError):
    """An image message that cannot be converted; the message names the field and the remedy."""


def message_to_gray(message: Image | CompressedImage, wide_pixels: str = "stretch") -> np.ndarray:
    """Return an image as (H, W) uint8 gray values.

    A mono8 image is not copied: the array shares the message's memory.

    Args:
        message: An Image of an encoding that :func:`pixels.decode_raw` takes, or a CompressedImage
            (JPEG, PNG, what OpenCV reads) as compressed_image_transport publishes it.
        wide_pixels: How pixels of other types than uint8 become 8 bits, one of
            ``pixels.WIDE_PIXELS``.

    Raises:
        ImageError: A field of the message is not valid or not supported, or compressed pixels are
            truncated or no image.
    """
    try:
        if isinstance(message, CompressedImage):
            image = pixels.decode_compressed(message.data, message.format)
        elif (gray := _bridged(message)) is not None:
            return gray
        else:
            image = _raw(message)
    except ValueError as error:
        raise ImageError(f"{type(message).__name__}.{error}") from error
    return pixels.to_gray(image, wide_pixels)


def message_to_depth(message: Image | CompressedImage) -> np.ndarray:
    """Return a depth image in meters: (H, W) float32, NaN where unknown.

    Args:
        message: An Image of 16UC1 in millimeters or 32FC1 in meters (REP 118), or a CompressedImage
            as compressed_depth_image_transport or, for 16UC1, compressed_image_transport
            publishes it.

    Raises:
        ImageError: A field of the message is not valid or not supported.
    """
    try:
        if isinstance(message, Image):
            image = _raw(message)
        elif "compresseddepth" in message.format.lower():
            image = decode_compressed_depth(message.data, message.format)
        else:
            image = pixels.decode_compressed(message.data, message.format)
        return to_meters(image)
    except ValueError as error:
        raise ImageError(f"{type(message).__name__}.{error}") from error


def _raw(message: Image) -> np.ndarray:
    """Return the pixels of a message; of YUV, only the luma."""
    return pixels.decode_raw(
        message.data,
        message.encoding,
        message.width,
        message.height,
        message.step,
        bool(message.is_bigendian),
        color=False,
    )


def _bridged(message: Image) -> np.ndarray | None:
    """Return the gray image by cv_bridge, None where that is not known to be right."""
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


def transport_topic(topic: str, transport: str) -> str:
    """Return the topic of a transport as image_transport names it: raw is the remapped topic."""
    return topic if transport == "raw" else f"{topic}/{transport}"


def to_image(image: np.ndarray, encoding: str, header: Header) -> Image:
    """Return a sensor_msgs/Image of an image (H, W) or (H, W, 3), its pixels copied once."""
    height, width = image.shape[:2]
    image = np.ascontiguousarray(image)
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(image.dtype.byteorder == ">"),
        step=image.strides[0],
        data=_bytes(image),
    )


def to_compressed_image(
    image: np.ndarray, encoding: str, header: Header, jpeg_quality: int
) -> CompressedImage:
    """Return a sensor_msgs/CompressedImage: JPEG of 8 bits, else PNG, as JPEG holds no 16 bits.

    Raises:
        ValueError: The pixels are of another type.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{encoding} has no compressed form: set image_transport to raw")
    if image.dtype == np.uint8:
        suffix, options = "jpeg", [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
    else:
        suffix, options = "png", []
    _, encoded = cv2.imencode(f".{suffix}", image, options)
    # The wording of compressed_image_transport: pixel format of the image, then of the compressed.
    inner = "" if image.ndim == 2 else f"bgr{image.dtype.itemsize * 8}"
    return CompressedImage(
        header=header, format=f"{encoding}; {suffix} compressed {inner}", data=_bytes(encoded)
    )


def to_compressed_depth(image: np.ndarray, header: Header) -> CompressedImage:
    """Return what compressed_depth_image_transport makes of depth (H, W) uint16, packed as PNG."""
    content = np.frombuffer(encode_compressed_depth(image), np.uint8)
    return CompressedImage(header=header, format="16UC1; compressedDepth png", data=_bytes(content))


def _bytes(values: np.ndarray) -> array.array:
    """Return a copy that a uint8[] field takes over without a check of each element."""
    content = array.array("B")
    content.frombytes(values.data.cast("B"))
    return content
