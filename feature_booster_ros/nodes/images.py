# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages to the (H, W) uint8 arrays that the library takes.

Colour comes through cv_bridge. The rest is done here: cv_bridge's Python calls need a copy even for
mono8, and the implementation on PyPI passes over row padding, knows no YUV, takes 16UC1 for 8 bits,
and cannot bring 16 bits down to 8.

Pixels of more than 8 bits (16-bit, float) have no fixed relation to brightness: thermal cameras
fill 14 of 16 bits, depth images count millimetres. ``WIDE_PIXELS`` says how they become 8 bits:

- "stretch" (the default): the 1st to 99th percentile of the finite pixels becomes 0 to 255, frame
  by frame. Works for every camera; outliers such as dead pixels do no harm.
- "full_range": the type's range becomes 0 to 255 (16-bit: value / 257; float: 1.0 is white). Keeps
  the brightness constant over frames, for cameras that fill the range.

Pixels that are not finite become black.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

try:
    from cv_bridge import CvBridge
except (
    Exception
):  # absent, or (often) built for another major version of NumPy: OpenCV does it then
    _BRIDGE = None
else:
    _BRIDGE = CvBridge()

WIDE_PIXELS = ("stretch", "full_range")

_STRETCH_PERCENTILES = (1.0, 99.0)
_STRETCH_SAMPLES = 65536
"""Pixels looked at for the percentiles: enough for a hundredth, and a millisecond's work."""


class ImageError(ValueError):
    """An image message that cannot be converted; the message names the field and the remedy."""


@dataclass(frozen=True)
class _Layout:
    """How an encoding lays out its pixels.

    Attributes:
        dtype: of one channel of one pixel.
        channels: interleaved in one pixel.
        to_gray: OpenCV's colour conversion to grey, or None where channel ``luma`` is the grey
            value.
        luma: see ``to_gray``.
        planar: more rows follow for the colour, which is not looked at (NV12 and its like).
    """

    dtype: type
    channels: int = 1
    to_gray: int | None = None
    luma: int = 0
    planar: bool = False


# OpenCV names a Bayer pattern by its second row's second and third pixel, ROS by the first row's
# first two and the second row's: rggb is OpenCV's BG.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2GRAY,
    "bggr": cv2.COLOR_BayerRG2GRAY,
    "gbrg": cv2.COLOR_BayerGR2GRAY,
    "grbg": cv2.COLOR_BayerGB2GRAY,
}
_COLOURS = {
    "rgb": (3, cv2.COLOR_RGB2GRAY),
    "bgr": (3, cv2.COLOR_BGR2GRAY),
    "rgba": (4, cv2.COLOR_RGBA2GRAY),
    "bgra": (4, cv2.COLOR_BGRA2GRAY),
}
_LAYOUTS = {
    "mono8": _Layout(np.uint8),
    "mono16": _Layout(np.uint16),
    "8UC1": _Layout(np.uint8),
    "8UC3": _Layout(np.uint8, 3, cv2.COLOR_BGR2GRAY),
    "8UC4": _Layout(np.uint8, 4, cv2.COLOR_BGRA2GRAY),
    "16UC1": _Layout(np.uint16),
    "16SC1": _Layout(np.int16),
    "16UC3": _Layout(np.uint16, 3, cv2.COLOR_BGR2GRAY),
    "32FC1": _Layout(np.float32),
    "32FC3": _Layout(np.float32, 3, cv2.COLOR_BGR2GRAY),
    "64FC1": _Layout(np.float64),
    "yuv422": _Layout(np.uint8, 2, luma=1),
    "uyvy": _Layout(np.uint8, 2, luma=1),
    "yuv422_yuy2": _Layout(np.uint8, 2, luma=0),
    "yuyv": _Layout(np.uint8, 2, luma=0),
    "nv12": _Layout(np.uint8, planar=True),
    "nv21": _Layout(np.uint8, planar=True),
    "nv24": _Layout(np.uint8, planar=True),
}
for _name, (_channels, _code) in _COLOURS.items():
    _LAYOUTS[f"{_name}8"] = _Layout(np.uint8, _channels, _code)
    _LAYOUTS[f"{_name}16"] = _Layout(np.uint16, _channels, _code)
for _name, _code in _BAYER.items():
    _LAYOUTS[f"bayer_{_name}8"] = _Layout(np.uint8, 1, _code)
    _LAYOUTS[f"bayer_{_name}16"] = _Layout(np.uint16, 1, _code)

# What every implementation of cv_bridge brings to mono8, where the rows have no padding.
_BRIDGED = ("rgb8", "bgr8", "rgba8", "bgra8", "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8")


def supported_encodings() -> list[str]:
    """The values of Image.encoding that :func:`to_gray` takes."""
    return sorted(_LAYOUTS)


def to_gray(message: Image, wide_pixels: str = "stretch") -> np.ndarray:
    """The image as (H, W) uint8 grey values.

    A mono8 image without a copy: the array shares the message's memory.

    Args:
        message: of one of :func:`supported_encodings`.
        wide_pixels: how pixels of more than 8 bits become 8 bits, one of ``WIDE_PIXELS``.

    Raises:
        ImageError: a field of the message is not valid or not supported.
    """
    layout = _check(message)
    row_bytes = message.width * layout.channels * np.dtype(layout.dtype).itemsize
    try:
        if _BRIDGE is not None and message.encoding in _BRIDGED and message.step == row_bytes:
            return np.asarray(_BRIDGE.imgmsg_to_cv2(message, "mono8"))
        return _to_eight_bits(_gray(_pixels(message, layout, row_bytes), layout), wide_pixels)
    except (cv2.error, TypeError, RuntimeError) as error:  # CvBridgeError is a TypeError
        raise ImageError(
            f"Image of encoding {message.encoding!r} and {message.width} x {message.height} pixels "
            f"could not be converted: {error}"
        ) from error


def compressed_to_gray(message: CompressedImage, wide_pixels: str = "stretch") -> np.ndarray:
    """The compressed image (JPEG, PNG, whatever OpenCV reads) as (H, W) uint8 grey values.

    Args:
        message: as image_transport's compressed plugin publishes it.
        wide_pixels: as in :func:`to_gray`, for PNG of 16 bits.

    Raises:
        ImageError: the bytes are no image that OpenCV reads.
    """
    if len(message.data) == 0:
        raise ImageError("CompressedImage.data is empty: the publisher sends no image")
    if "compressedDepth" in message.format:
        raise ImageError(
            f"CompressedImage.format {message.format!r} is not supported: subscribe to the raw "
            "topic (image_transport: raw)"
        )
    try:
        pixels = cv2.imdecode(
            np.frombuffer(message.data, np.uint8),
            cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION,
        )
    except cv2.error as error:  # a header that promises more pixels than OpenCV allows
        raise ImageError(
            f"CompressedImage.data of format {message.format!r} cannot be read: {error}"
        ) from error
    if pixels is None:
        raise ImageError(
            f"CompressedImage.data of format {message.format!r} ({len(message.data)} bytes) is "
            "truncated or of a format that OpenCV does not read: publish JPEG or PNG"
        )
    return _to_eight_bits(pixels, wide_pixels)


def _check(message: Image) -> _Layout:
    """The layout of a message whose size, step and data fit each other."""
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        raise ImageError(
            f"Image.encoding {message.encoding!r} is not supported: publish one of "
            f"{', '.join(supported_encodings())}"
        )
    for name in ("width", "height"):
        if getattr(message, name) == 0:
            raise ImageError(f"Image.{name} is 0: the publisher sends no pixels")
    row_bytes = message.width * layout.channels * np.dtype(layout.dtype).itemsize
    if message.step < row_bytes:
        raise ImageError(
            f"Image.step is {message.step} bytes, but a row of {message.width} pixels in "
            f"{message.encoding} takes {row_bytes}: the publisher must set the step to that or more"
        )
    expected = message.step * message.height
    length = len(message.data)
    if length < expected or (length != expected and not layout.planar):
        raise ImageError(
            f"Image.data has {length} bytes, but {message.height} rows with a step of "
            f"{message.step} bytes take {expected}: the publisher's height, step and data disagree"
        )
    return layout


def _pixels(message: Image, layout: _Layout, row_bytes: int) -> np.ndarray:
    """(H, W) or (H, W, C) view of the message's pixels in the machine's byte order."""
    dtype = np.dtype(layout.dtype).newbyteorder(">" if message.is_bigendian else "<")
    rows = np.frombuffer(message.data, np.uint8, message.step * message.height)
    rows = rows.reshape(message.height, message.step)[:, :row_bytes]
    if dtype.itemsize > 1:
        # A step that is no multiple of the pixel's size cannot be viewed as wider pixels.
        rows = np.ascontiguousarray(rows).view(dtype).astype(layout.dtype, copy=False)
    return (
        rows
        if layout.channels == 1
        else rows.reshape(message.height, message.width, layout.channels)
    )


def _gray(pixels: np.ndarray, layout: _Layout) -> np.ndarray:
    """(H, W) of the same type."""
    if layout.to_gray is not None:
        return cv2.cvtColor(np.ascontiguousarray(pixels), layout.to_gray)
    return pixels if layout.channels == 1 else np.ascontiguousarray(pixels[:, :, layout.luma])


def _to_eight_bits(pixels: np.ndarray, wide_pixels: str) -> np.ndarray:
    """(H, W) of any type as uint8."""
    if pixels.dtype == np.uint8:
        return pixels
    if wide_pixels not in WIDE_PIXELS:
        raise ValueError(
            f"wide_pixels must be one of {', '.join(WIDE_PIXELS)}, not {wide_pixels!r}"
        )
    if wide_pixels == "full_range":
        low, high = (
            (0.0, 1.0) if pixels.dtype.kind == "f" else (0.0, float(np.iinfo(pixels.dtype).max))
        )
    else:
        low, high = _spread(pixels)
    if not high > low:
        return np.zeros(pixels.shape, np.uint8)
    # The subtraction in double precision would double the memory; float32 holds 16 bits exactly.
    scaled = (pixels.astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
    return np.nan_to_num(np.rint(np.clip(scaled, 0.0, 255.0)), nan=0.0).astype(np.uint8)


def _spread(pixels: np.ndarray) -> tuple[float, float]:
    """The percentiles that become black and white, from a sample of the finite pixels."""
    step = max(1, int(np.sqrt(pixels.size / _STRETCH_SAMPLES)))
    sample = pixels[::step, ::step]
    if pixels.dtype.kind == "f":
        sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(sample, _STRETCH_PERCENTILES)
    return float(low), float(high)
