# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depth images to meters, from files and messages (REP 118)."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from ..pixels import decode_compressed, image_encoding

MILLIMETERS = 1000.0
"""Units of a meter in depth images of integers, as REP 118 has them."""
DEPTH_WITHIN_NS = 20_000_000
"""Largest difference of the stamps of an image and its depth [ns], as TUM's associate.py has it."""

# ConfigHeader of compressed_depth_image_transport: an enumeration, and the two parameters of the
# quantization of inverse depth.
_HEADER = struct.Struct("<iff")


def to_meters(image: np.ndarray, units_per_meter: float = MILLIMETERS) -> np.ndarray:
    """Return a depth image in meters.

    Args:
        image: (H, W) of unsigned integers, of which 0 is unknown, or of floats in meters, of which
            NaN, infinity and what is not positive are unknown (REP 118).
        units_per_meter: Of integers: 1000 for millimeters, 5000 in files of TUM RGB-D.

    Returns:
        (H, W) float32, distance along the optical axis in meters, NaN where it is unknown.

    Raises:
        ValueError: The image has several channels, or its pixels are of another type.
    """
    if image.ndim != 2 or image.dtype not in (np.uint16, np.uint32, np.float32, np.float64):
        raise ValueError(
            f"depth of encoding {image_encoding(image)} is not supported: give 16UC1 in "
            "millimeters or 32FC1 in meters (REP 118)"
        )
    depth = image.astype(np.float32)
    if image.dtype.kind == "u":
        depth /= np.float32(units_per_meter)
    with np.errstate(invalid="ignore"):
        depth[~((depth > 0) & (depth < np.inf))] = np.nan
    return depth


def to_millimeters(depth: np.ndarray) -> np.ndarray:
    """Return depth (H, W) in meters as uint16 millimeters; 0 where unknown or beyond 65.535 m."""
    millimeters = np.rint(depth * MILLIMETERS)
    with np.errstate(invalid="ignore"):
        is_known = (millimeters > 0) & (millimeters <= np.iinfo(np.uint16).max)
    return np.where(is_known, millimeters, 0).astype(np.uint16)


def encode_compressed_depth(image: np.ndarray) -> bytes:
    """Return (H, W) uint16 as compressed_depth_image_transport packs 16UC1 as PNG."""
    return _HEADER.pack(0, 0.0, 0.0) + cv2.imencode(".png", image)[1].tobytes()


def check_depth_size(depth: np.ndarray, shape: tuple[int, int]) -> None:
    """Check that a depth image has the (height, width) of the image whose pixels it is of.

    Raises:
        ValueError: It has another size; the message names both and the remedy.
    """
    if depth.shape != shape:
        raise ValueError(
            f"the depth image has {depth.shape[1]} x {depth.shape[0]} pixels, but the image "
            f"{shape[1]} x {shape[0]}: give depth that is aligned to the image (RealSense: "
            "align_depth.enable; else depth_image_proc register)"
        )


def decode_compressed_depth(encoded: bytes | np.ndarray, format: str) -> np.ndarray:
    """Decode a sensor_msgs/CompressedImage of compressed_depth_image_transport, packed as PNG.

    Args:
        encoded: Anything with a buffer of bytes: the transport's header of 12 bytes and the file.
        format: The message's field, such as "16UC1; compressedDepth png".

    Returns:
        (H, W) uint16 as published, or float32 in meters with NaN where unknown.

    Raises:
        ValueError: It is packed in another way, truncated, or no image.
    """
    encoding, _, packing = format.partition(";")
    if "compresseddepth" not in packing.lower() or "rvl" in packing.lower():
        raise ValueError(
            f"format {format!r} is not depth packed as PNG: have the publisher set the "
            "transport's format to png, or subscribe to the raw topic"
        )
    encoded = bytes(encoded)
    if len(encoded) <= _HEADER.size:
        raise ValueError(f"data of {len(encoded)} bytes is truncated: send it again")
    _, scale, offset = _HEADER.unpack_from(encoded)
    image = decode_compressed(encoded[_HEADER.size :])
    if encoding.strip().lower() != "32fc1":
        return image
    # 0 is unknown, and any other value a quantized inverse depth.
    inverse = image.astype(np.float32) - np.float32(offset)
    with np.errstate(divide="ignore"):
        return np.where(image > 0, np.float32(scale) / inverse, np.float32(np.nan))
