# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depth images in the forms of REP 118 and of image_transport."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from feature_booster_ros.depth import to_meters
from feature_booster_ros.depth.images import check_depth_size, decode_compressed_depth


def test_millimeters_and_meters():
    depth = to_meters(np.array([[0, 1500]], np.uint16))
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, np.float32([[np.nan, 1.5]]))
    unknown = np.array([[np.nan, np.inf, -np.inf, 0, -1, 2.5]], np.float32)
    np.testing.assert_array_equal(to_meters(unknown), [[np.nan] * 5 + [2.5]])
    assert np.isnan(unknown[0, 0])
    assert unknown[0, 4] == -1  # the message's own memory stays what it was


@pytest.mark.parametrize(
    "image", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.uint16), np.zeros((2, 2), "i2")]
)
def test_an_image_that_is_no_depth_names_what_is(image):
    with pytest.raises(ValueError, match="16UC1 in millimeters or 32FC1 in meters"):
        to_meters(image)


def test_another_size_names_both_and_the_remedy():
    with pytest.raises(ValueError, match=r"320 x 240 .* 640 x 480: .*align"):
        check_depth_size(np.zeros((240, 320), np.float32), (480, 640))


def pack(image: np.ndarray, scale: float = 0.0, offset: float = 0.0) -> bytes:
    """Return what compressed_depth_image_transport makes of 16 bits."""
    return struct.pack("<iff", 0, scale, offset) + cv2.imencode(".png", image)[1].tobytes()


def test_compressed_depth_of_millimeters():
    image = np.array([[0, 1500], [7, 65535]], np.uint16)
    np.testing.assert_array_equal(
        decode_compressed_depth(pack(image), "16UC1; compressedDepth png"), image
    )


def test_compressed_depth_of_floats_is_quantized_inverse_depth():
    # The codec's parameters for a largest depth of 10 m and a quantization of 100.
    scale, offset = 100 * 101.0, 1 - 100 * 101.0 / 10
    depth = np.float32([[0.5, 2.0, np.nan, 9.0]])
    quantized = np.where(np.isnan(depth), 0, scale / depth + offset).astype(np.uint16)
    decoded = decode_compressed_depth(pack(quantized, scale, offset), "32FC1; compressedDepth")
    np.testing.assert_allclose(decoded, depth, rtol=2e-3)


@pytest.mark.parametrize(
    ("content", "format", "reason"),
    [
        (b"", "16UC1; compressedDepth png", "truncated"),
        (pack(np.ones((40, 40), np.uint16))[:60], "16UC1; compressedDepth png", "truncated"),
        (b"x" * 40, "16UC1; compressedDepth rvl", "png"),
        (b"x" * 40, "mono8; jpeg compressed ", "raw topic"),
    ],
)
def test_compressed_depth_that_cannot_be_read(content, format, reason):
    with pytest.raises(ValueError, match=reason):
        decode_compressed_depth(content, format)
