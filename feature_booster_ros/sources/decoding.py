# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Decode compressed images, and refuse damaged ones that OpenCV would fill up with grey."""

from __future__ import annotations

import cv2
import numpy as np

_JPEG_START = b"\xff\xd8"
_JPEG_SCAN = b"\xff\xda"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND"


def decode_image(encoded: bytes | np.ndarray) -> np.ndarray:
    """Decode JPEG, PNG or whatever else OpenCV reads.

    Grey files stay grey, colour becomes BGR, 16 bits stay 16 bits, transparency is dropped and
    the orientation tag of a photograph is obeyed.

    Returns:
        (H, W) or (H, W, 3) BGR, in the file's own number type.

    Raises:
        ValueError: The bytes are empty, cut off, or not an image.
    """
    encoded = bytes(encoded)
    if not encoded:
        raise ValueError("empty file")
    if _is_cut_off(encoded):
        raise ValueError(f"truncated image ({len(encoded)} bytes)")
    image = cv2.imdecode(
        np.frombuffer(encoded, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    )
    if image is None:
        raise ValueError(f"not an image that OpenCV can decode ({len(encoded)} bytes)")
    return image


def _is_cut_off(encoded: bytes) -> bool:
    """Whether the end marker of a JPEG or PNG is missing.

    libjpeg only warns about a missing end and delivers the lost rows in grey, which would then be
    taken for a scene. The marker is looked for anywhere behind the start of the pixels, because
    phones append further blocks to their files; before it, an embedded thumbnail has one too.
    """
    if encoded.startswith(_JPEG_START):
        scan = _jpeg_scan_offset(encoded)
        return scan < 0 or encoded.find(_JPEG_END, scan) < 0
    if encoded.startswith(_PNG_START):
        return encoded.rfind(_PNG_END) < 0
    return False


def _jpeg_scan_offset(encoded: bytes) -> int:
    """Offset of the first start-of-scan marker, -1 where the file ends before it.

    Walks the segments (ITU-T T.81, annex B): a marker, and a length that counts its own two bytes.
    """
    offset = 2
    while offset + 4 <= len(encoded):
        if encoded[offset] != 0xFF:
            return -1
        if encoded[offset + 1] == 0xFF:  # fill byte before a marker
            offset += 1
            continue
        if encoded[offset : offset + 2] == _JPEG_SCAN:
            return offset
        offset += 2 + int.from_bytes(encoded[offset + 2 : offset + 4], "big")
    return -1
