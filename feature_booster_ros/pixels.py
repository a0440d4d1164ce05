# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pixels of messages and files to arrays, for nodes, sources, evaluation and training.

An image comes as the fields of a sensor_msgs/Image (:func:`decode_raw`), as an encoded file or
sensor_msgs/CompressedImage (:func:`decode_compressed`), or as a path (:func:`read_image`). Each
gives (H, W) or (H, W, 3) BGR of the image's own number type, and :func:`to_gray` gives the (H, W)
uint8 that extractors take.

Pixels of more than 8 bits, signed ones and floats have no fixed relation to brightness: thermal
cameras use 14 of 16 bits, depth images are in millimeters. They are converted to 8 bits in one of
these ways, ``WIDE_PIXELS``:

- "stretch" (the default): the 1st to 99th percentile of the finite pixels becomes 0 to 255, image
  by image. This works for every camera, and outliers such as dead pixels do no harm.
- "full_range": the range of the type becomes 0 to 255 (uint16: value / 257; float: 0 to 1). The
  brightness stays constant over the images, for cameras that fill the range.

Pixels that are not finite become black.

Images are taken as stored: the orientation tag of EXIF is ignored, live and offline. Intrinsics
hold for the pixels of the sensor, COLMAP reads files the same way, and a tag that rotates one
image of a sequence would exchange its width and height.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from .memory import check_memory

WIDE_PIXELS = ("stretch", "full_range")

_STRETCH_PERCENTILES = (1.0, 99.0)
# Pixels sampled for the percentiles: the error is about a hundredth, the cost one millisecond.
_STRETCH_SAMPLES = 65536
# Weights of blue, green and red in gray (ITU-R BT.601), as OpenCV's.
_LUMA = (0.114, 0.587, 0.299)
# Memory that decoding takes [bytes/pixel]: three channels and the gray image.
_DECODING_BYTES = 4


class _Layout(NamedTuple):
    """Pixels in memory.

    Attributes:
        dtype: Type of one channel of one pixel.
        channels: Channels interleaved in one pixel.
        to_bgr: OpenCV's conversion to BGR, None if there is none.
        packed: Order of the bytes of two neighboring YUV 4:2:2 pixels, or "".
        planar: Order of the chroma plane that follows the luma, or "".
        subsampling: Pixels in a row and in a column that share one chroma sample.
    """

    dtype: str
    channels: int = 1
    to_bgr: int | None = None
    packed: str = ""
    planar: str = ""
    subsampling: tuple[int, int] = (1, 1)


# The names of sensor_msgs/image_encodings.hpp, except for its OpenCV types such as 32FC1. OpenCV
# names a Bayer pattern after the second and third pixel of the second row, ROS after the first two
# pixels of the first two rows: rggb of ROS is BG of OpenCV.
_LAYOUTS = {
    "uyvy": _Layout("u1", 2, packed="uyvy", subsampling=(1, 2)),
    "yuv422": _Layout("u1", 2, packed="uyvy", subsampling=(1, 2)),
    "yuyv": _Layout("u1", 2, packed="yuyv", subsampling=(1, 2)),
    "yuv422_yuy2": _Layout("u1", 2, packed="yuyv", subsampling=(1, 2)),
    "nv12": _Layout("u1", planar="uv", subsampling=(2, 2)),
    "nv21": _Layout("u1", planar="vu", subsampling=(2, 2)),
    "nv24": _Layout("u1", planar="uv"),
}
for _bits, _dtype in ((8, "u1"), (16, "u2")):
    _LAYOUTS |= {
        f"mono{_bits}": _Layout(_dtype),
        f"bgr{_bits}": _Layout(_dtype, 3),
        f"rgb{_bits}": _Layout(_dtype, 3, cv2.COLOR_RGB2BGR),
        f"bgra{_bits}": _Layout(_dtype, 4, cv2.COLOR_BGRA2BGR),
        f"rgba{_bits}": _Layout(_dtype, 4, cv2.COLOR_RGBA2BGR),
        f"bayer_rggb{_bits}": _Layout(_dtype, 1, cv2.COLOR_BayerBG2BGR),
        f"bayer_bggr{_bits}": _Layout(_dtype, 1, cv2.COLOR_BayerRG2BGR),
        f"bayer_gbrg{_bits}": _Layout(_dtype, 1, cv2.COLOR_BayerGR2BGR),
        f"bayer_grbg{_bits}": _Layout(_dtype, 1, cv2.COLOR_BayerGB2BGR),
    }
_OPENCV_TYPE = re.compile(r"(?:cv_)?(8u|8s|16u|16s|16f|32u|32s|32f|64f)c([1-4]?)", re.IGNORECASE)
_MOSAIC = re.compile(
    r"\s*bayer_(rggb|bggr|gbrg|grbg)\d*\s*(?:;(?!.*compressed mono)|$)", re.IGNORECASE
)
_VIDEO = re.compile(r"h\.?26[45]|hevc|av1|vp[89]|theora", re.IGNORECASE)
_KINDS = {"u": "u", "s": "i", "f": "f"}
_KINDS_OF_NUMPY = {"u": "U", "i": "S", "f": "F"}

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND"
# Start of frame, which has the size: all of C0 to CF but the tables C4 and CC and the reserved C8.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_JPEG_SCAN = 0xDA


def decode_raw(
    data: bytes | np.ndarray,
    encoding: str,
    width: int,
    height: int,
    step: int,
    is_bigendian: bool = False,
    *,
    color: bool = True,
) -> np.ndarray:
    """Return the pixels of a sensor_msgs/Image.

    Bytes after the last row are ignored, and the last row may come without its padding.

    YUV is converted with the full range of values (JFIF), so that the gray of the colors is the
    luma. Many cameras fill only 16 to 235: their colors come out 14 % paler.

    Args:
        data: Anything with a buffer of bytes: rows of ``step`` bytes each, and the chroma plane of
            planar YUV.
        encoding: A name of sensor_msgs/image_encodings.hpp in any case, or an OpenCV type of one to
            four channels such as 16SC1 or CV_8UC3. Of two channels the first is the image, three
            are BGR, four BGRA.
        width: Of the image [px].
        height: Of the image [px].
        step: Bytes from one row to the next. Of rows without padding, 0 and ``width`` are taken
            for that, too.
        is_bigendian: Byte order of channels of more than one byte.
        color: False: of YUV only the luma, which is faster.

    Returns:
        (H, W) or (H, W, 3) BGR, of the encoding's number type in the machine's byte order. Pixels
        that need no conversion share the memory of ``data``.

    Raises:
        ValueError: The encoding is not supported, or size, step and length contradict each other.
            The message begins with the name of the field and ends with the remedy.
    """
    layout = _layout(encoding)
    for name, value in (("width", width), ("height", height)):
        if value < 1:
            raise ValueError(f"{name} is {value}: the publisher sends no pixels")
    flat = np.frombuffer(data, np.uint8)
    step = _check_size(len(flat), layout, encoding, width, height, step)
    if layout.packed or layout.planar:
        return _decode_yuv(flat, layout, width, height, step, color)
    dtype = np.dtype(layout.dtype).newbyteorder(">" if is_bigendian else "<")
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (step, layout.channels * dtype.itemsize)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, dtype.itemsize)
    pixels: np.ndarray = np.ndarray(shape, dtype, flat, strides=strides)
    # OpenCV needs the machine's byte order and the alignment of the type.
    pixels = np.require(pixels, dtype.newbyteorder("="), "A")
    if layout.to_bgr is not None:
        return cv2.cvtColor(np.ascontiguousarray(pixels), layout.to_bgr)
    if layout.channels == 2:
        return np.ascontiguousarray(pixels[..., 0])
    return pixels if layout.channels < 4 else np.ascontiguousarray(pixels[..., :3])


def decode_compressed(
    encoded: bytes | np.ndarray, format: str = "", *, color: bool = True
) -> np.ndarray:
    """Decode JPEG, PNG or what else OpenCV reads.

    Gray files stay gray, color becomes BGR, 16 bits and floats stay what they are, transparency is
    dropped, and so is the orientation tag of a photograph (see the module).

    Args:
        encoded: Anything with a buffer of bytes: the whole file.
        format: The field of a sensor_msgs/CompressedImage as compressed_image_transport writes it,
            "ENCODING; jpeg compressed ENCODING". A gray image whose first encoding is a Bayer
            mosaic is demosaiced.
        color: False: colors as gray by the file format's library, which is a third faster for JPEG
            and differs from :func:`to_gray` by rounding. A mosaic gives colors all the same.

    Returns:
        (H, W) or (H, W, 3) BGR, of the file's own number type.

    Raises:
        ValueError: The data are empty, truncated, too large for the memory or not an image, or the
            format is one of depth. The message begins with the name of the field.
    """
    if "compresseddepth" in format.lower():
        raise ValueError(
            f"format {format!r} is depth in the transport's own packing, which is not supported: "
            "subscribe to the raw topic (image_transport: raw)"
        )
    if codec := _VIDEO.search(format):
        raise ValueError(
            f"format {format!r} is a packet of {codec[0]} video, which is not supported: have the "
            "transport decode it (ros2 run image_transport republish), and subscribe to its output"
        )
    encoded = bytes(encoded)
    if not encoded:
        raise ValueError("data is empty: the publisher sends, or the file has, no image")
    size = f"{len(encoded)} bytes"
    what = f"data of format {format!r} ({size})" if format else f"data of {size}"
    has_end = _check_header(encoded, what)
    if not has_end:
        encoded += _JPEG_END  # which OpenCV insists on
    demosaicing = _demosaicing(format)
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    if color or demosaicing is not None:
        flags |= cv2.IMREAD_ANYCOLOR
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
        if image is not None and not has_end and _is_flat_at_end(image):
            raise _truncated(what)
        if image is not None and image.ndim == 2 and demosaicing is not None:
            return cv2.cvtColor(image, demosaicing)
    except cv2.error as error:  # such as a header that declares more pixels than OpenCV allows
        raise ValueError(f"{what} cannot be decoded: {error}") from error
    if image is None:
        raise ValueError(
            f"{what} is truncated or not an image that OpenCV reads: give JPEG, PNG or raw pixels"
        )
    return image


def to_gray(image: np.ndarray, wide_pixels: str = "stretch") -> np.ndarray:
    """Return an image as the extractors take it.

    Args:
        image: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA of any number type; of (H, W, 1) or
            (H, W, 2), the first channel.
        wide_pixels: How other types than uint8 become 8 bits, one of ``WIDE_PIXELS``.

    Returns:
        (H, W) uint8. A gray image of uint8 is returned itself.

    Raises:
        ValueError: The image has another shape or no numbers, or ``wide_pixels`` is unknown.
    """
    if wide_pixels not in WIDE_PIXELS:
        raise ValueError(
            f"wide_pixels must be one of {', '.join(WIDE_PIXELS)}, not {wide_pixels!r}"
        )
    image_encoding(image)
    if image.ndim == 3:
        image = _gray_of_channels(image)
    return image if image.dtype == np.uint8 else _to_eight_bits(image, wide_pixels)


def to_drawable(image: np.ndarray) -> np.ndarray:
    """Return an image to draw on, uint8: itself, or the gray image of wider pixels."""
    return image if image.dtype == np.uint8 else to_gray(image)


def read_image(path: str | Path, *, color: bool = True) -> np.ndarray:
    """Read an image file as :func:`decode_compressed` does.

    Raises:
        ValueError: The file is missing, unreadable, truncated or not an image; the message names
            it.
    """
    try:
        return decode_compressed(Path(path).read_bytes(), color=color)
    except FileNotFoundError:
        raise ValueError(f"image {path} does not exist") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"image {path} cannot be read: {reason}") from error


def read_gray(path: str | Path, wide_pixels: str = "stretch") -> np.ndarray:
    """Read an image file as (H, W) uint8; see :func:`read_image` and :func:`to_gray`."""
    return to_gray(read_image(path, color=False), wide_pixels)


def shrink(image: np.ndarray, longest_side: int | None) -> tuple[np.ndarray, float]:
    """Return the image with at most that longest side [px], None for any, and new size / old.

    Raises:
        ValueError: The longest side is less than 1.
    """
    if longest_side is not None and longest_side < 1:
        raise ValueError(f"longest_side must be at least 1, not {longest_side}")
    ratio = 1.0 if longest_side is None else min(1.0, longest_side / max(image.shape[:2]))
    if ratio < 1:
        image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    return image, ratio


def image_encoding(image: np.ndarray) -> str:
    """Return the name of an array's pixels in sensor_msgs/image_encodings.hpp, such as bgr8.

    Raises:
        ValueError: The array is not (H, W) or (H, W, 1 to 4), is empty, or has no name there.
    """
    if not isinstance(image, np.ndarray):
        raise ValueError(f"pixels must be a numpy array, not {type(image).__name__}")
    channels = 1 if image.ndim == 2 else image.shape[-1] if image.ndim == 3 else 0
    kind = _KINDS_OF_NUMPY.get(image.dtype.kind)
    general = f"{image.dtype.itemsize * 8}{kind}C{channels}"
    if image.size == 0 or not _OPENCV_TYPE.fullmatch(general):
        raise ValueError(
            f"pixels of type {image.dtype} and shape {image.shape}: "
            "expected (H, W) or (H, W, 3) BGR, of integers or floats"
        )
    name = {1: "mono", 3: "bgr", 4: "bgra"}.get(channels)
    if image.dtype in (np.uint8, np.uint16) and name:
        return f"{name}{image.dtype.itemsize * 8}"
    return general


def _layout(encoding: str) -> _Layout:
    name = encoding.strip().lower()
    if name in _LAYOUTS:
        return _LAYOUTS[name]
    if found := _OPENCV_TYPE.fullmatch(name):
        depth, channels = found.groups()
        return _Layout(f"{_KINDS[depth[-1]]}{int(depth[:-1]) // 8}", int(channels or 1))
    raise ValueError(
        f"encoding {encoding!r} is not supported: publish one of {', '.join(sorted(_LAYOUTS))}, "
        "or an OpenCV type of one to four channels such as 32FC1"
    )


def _check_size(
    length: int, layout: _Layout, encoding: str, width: int, height: int, step: int
) -> int:
    """Return the step of data whose size, step and length fit each other."""
    row_bytes = width * layout.channels * np.dtype(layout.dtype).itemsize
    # Drivers disagree on the step of planar images; where nothing is padded, the length tells it.
    if layout.planar and length == _needed_bytes(layout, width, height, row_bytes, row_bytes):
        return row_bytes
    # Left out, or counted in pixels: rows without padding are the only reading.
    if step in (0, width) and step < row_bytes and length == row_bytes * height:
        return row_bytes
    if step < row_bytes:
        raise ValueError(
            f"step is {step} bytes, but a row of {width} pixels in {encoding} takes {row_bytes}: "
            "the publisher must set the step to that or more"
        )
    if length < _needed_bytes(layout, width, height, step, row_bytes):
        plane = " and the chroma plane" if layout.planar else ""
        expected = _needed_bytes(layout, width, height, step, step)
        raise ValueError(
            f"data has {length} bytes, but {height} rows with a step of {step} bytes{plane} take "
            f"{expected}: the publisher's height, step and data disagree"
        )
    return step


def _needed_bytes(layout: _Layout, width: int, height: int, step: int, last_row: int) -> int:
    if not layout.planar:
        return step * (height - 1) + last_row
    rows, columns, chroma_step = _chroma_shape(layout, width, height, step)
    return step * height + chroma_step * (rows - 1) + 2 * columns


def _chroma_shape(layout: _Layout, width: int, height: int, step: int) -> tuple[int, int, int]:
    """Return rows, columns and step of the pairs of U and V."""
    down, across = layout.subsampling
    columns = -(-width // across)
    return -(-height // down), columns, max(2 * step // across, 2 * columns)


def _decode_yuv(
    flat: np.ndarray, layout: _Layout, width: int, height: int, step: int, color: bool
) -> np.ndarray:
    if layout.packed:
        row: np.ndarray = np.ndarray((height, 2 * width), np.uint8, flat, strides=(step, 1))
        luma: np.ndarray = row[:, layout.packed.index("y") :: 2]
        planes = [row[:, layout.packed.index(name) :: 4] for name in "vu"]
    else:
        luma = np.ndarray((height, width), np.uint8, flat, strides=(step, 1))
        rows, columns, chroma_step = _chroma_shape(layout, width, height, step)
        strides = (chroma_step, 2, 1)
        pairs: np.ndarray = np.ndarray((rows, columns, 2), np.uint8, flat, step * height, strides)
        planes = [pairs[..., layout.planar.index(name)] for name in "vu"]
    if not color:
        return np.ascontiguousarray(luma)
    chroma = [_upsampled(plane, layout.subsampling, (height, width)) for plane in planes]
    return cv2.cvtColor(np.dstack([luma, *chroma]), cv2.COLOR_YCrCb2BGR)


def _upsampled(
    plane: np.ndarray, subsampling: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Return chroma of every pixel; the last column of an odd width may lack its own sample."""
    if plane.size == 0:
        return np.full(shape, 128, np.uint8)
    plane = plane.repeat(subsampling[0], 0).repeat(subsampling[1], 1)[: shape[0], : shape[1]]
    return np.pad(plane, ((0, 0), (0, shape[1] - plane.shape[1])), "edge")


def _demosaicing(format: str) -> int | None:
    """Return OpenCV's conversion for what a CompressedImage's format says is a Bayer mosaic."""
    found = _MOSAIC.match(format)
    return _LAYOUTS[f"bayer_{found[1].lower()}8"].to_bgr if found else None


def _check_header(encoded: bytes, what: str) -> bool:
    """Refuse a JPEG or PNG that is truncated or too large for the memory.

    libjpeg only warns about a missing end and fills the lost rows with gray, which would be taken
    for a scene.

    Returns:
        False for a JPEG without its end marker, which some cameras leave out: whether it is
        truncated, its last block tells (`_is_flat_at_end`). Of a progressive one no block tells.
    """
    has_end = True
    if encoded.startswith(_JPEG_START):
        width, height, scan, is_progressive = _jpeg_size(encoded)
        # The end counts from the start of the pixels on: a thumbnail before has its own, and phones
        # append blocks after it.
        has_end = scan > 0 and encoded.rfind(_JPEG_END, scan) > 0
        complete = has_end or (scan > 0 and not is_progressive)
    elif encoded.startswith(_PNG_START):
        width, height = (int.from_bytes(encoded[at : at + 4], "big") for at in (16, 20))
        complete = encoded.rfind(_PNG_END) > 0
    else:
        return True
    if not complete:
        raise _truncated(what)
    check_memory(
        width * height * _DECODING_BYTES,
        f"data declares an image of {width} x {height} pixels, whose decoding",
        "resize the image",
    )
    return has_end


def _truncated(what: str) -> ValueError:
    return ValueError(f"{what} is truncated: the end of the image is lost, send it again")


def _is_flat_at_end(image: np.ndarray) -> bool:
    """Return whether the last block of 8 x 8 pixels is of one value, as libjpeg fills lost ones.

    Two pixels at its edges are left out: chroma is interpolated across them.
    """
    top, left = (8 * ((size - 1) // 8) + 2 for size in image.shape[:2])
    block = image[top:, left:].reshape(-1, *image.shape[2:])
    return len(block) == 0 or bool((block == block[0]).all())


def _jpeg_size(encoded: bytes) -> tuple[int, int, int, bool]:
    """Read the segments of a JPEG up to the first scan (ITU-T T.81, annex B).

    Each segment has a marker, and a length that includes its two bytes.

    Returns:
        Width, height, the offset of the first scan or -1 if the file ends before it, and whether
        the scans are progressive.
    """
    width = height = frame = 0
    offset = 2
    while offset + 4 <= len(encoded) and encoded[offset] == 0xFF:
        marker = encoded[offset + 1]
        if marker == 0xFF:  # a fill byte before a marker
            offset += 1
            continue
        if marker == _JPEG_SCAN:
            return width, height, offset, frame in _JPEG_PROGRESSIVE
        if marker in _JPEG_FRAMES:
            frame = marker
            height = int.from_bytes(encoded[offset + 5 : offset + 7], "big")
            width = int.from_bytes(encoded[offset + 7 : offset + 9], "big")
        offset += 2 + int.from_bytes(encoded[offset + 2 : offset + 4], "big")
    return width, height, -1, False


def _gray_of_channels(image: np.ndarray) -> np.ndarray:
    """Return (H, W) of the same type of an image (H, W, C)."""
    if image.shape[2] < 3:
        return np.ascontiguousarray(image[..., 0])
    image = np.ascontiguousarray(image[..., :3])
    if image.dtype in (np.uint8, np.uint16, np.float32):
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    with np.errstate(invalid="ignore"):
        gray = image @ np.array(_LUMA)
    return gray if image.dtype.kind == "f" else np.rint(gray).astype(image.dtype)


def _to_eight_bits(pixels: np.ndarray, wide_pixels: str) -> np.ndarray:
    """Return (H, W) of any type as uint8."""
    if wide_pixels == "stretch":
        low, high = _spread(pixels)
    elif pixels.dtype.kind == "f":
        low, high = 0.0, 1.0
    else:
        limits = np.iinfo(pixels.dtype)
        low, high = float(limits.min), float(limits.max)
    if not high > low:
        return np.zeros(pixels.shape, np.uint8)
    # float32 holds 16 bits exactly, at half the memory.
    small = pixels.dtype.itemsize <= 2
    dtype = np.dtype(np.float32) if small else np.result_type(pixels.dtype, np.float32)
    scaled = pixels.astype(dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled -= dtype.type(low)
        scaled *= dtype.type(255.0 / (high - low))
    if pixels.dtype.kind == "f":
        scaled[~np.isfinite(pixels)] = 0.0
    return np.rint(np.clip(scaled, 0.0, 255.0, out=scaled), out=scaled).astype(np.uint8)


def _spread(pixels: np.ndarray) -> tuple[float, float]:
    """Return the values that become black and white."""
    step = max(1, int(np.sqrt(pixels.size / _STRETCH_SAMPLES)))
    sample = pixels[::step, ::step]
    sample = sample[np.isfinite(sample)].astype(np.float64)
    if sample.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(sample, _STRETCH_PERCENTILES)
    if low == high:  # almost all of one value: what differs is the scene
        low, high = sample.min(), sample.max()
    return float(low), float(high)
