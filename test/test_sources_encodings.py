# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pixels of sensor_msgs/Image in every encoding."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from records import picture

from feature_booster_ros.sources.encodings import ENCODINGS, decode_pixels

COLOR = picture(0, width=8, height=6, color=True)
GREY = picture(1, width=8, height=6)


def decode(image, encoding, **fields):
    image = np.ascontiguousarray(image)
    defaults = {"width": image.shape[1], "height": image.shape[0], "step": image.strides[0]}
    return decode_pixels(image.tobytes(), encoding, **{**defaults, **fields})


@pytest.mark.parametrize("encoding", ["mono8", "8UC1", "MONO8"])
def test_grey_stays(encoding):
    np.testing.assert_array_equal(decode(GREY, encoding), GREY)


@pytest.mark.parametrize(
    ("encoding", "channels"),
    [("bgr8", [0, 1, 2]), ("8UC3", [0, 1, 2]), ("rgb8", [2, 1, 0])],
)
def test_colour_becomes_bgr(encoding, channels):
    np.testing.assert_array_equal(decode(COLOR[..., channels], encoding), COLOR)


@pytest.mark.parametrize(
    ("encoding", "channels"), [("bgra8", [0, 1, 2]), ("8UC4", [0, 1, 2]), ("rgba8", [2, 1, 0])]
)
def test_transparency_is_dropped(encoding, channels):
    pixels = np.dstack([COLOR[..., channels], GREY])
    np.testing.assert_array_equal(decode(pixels, encoding), COLOR)


@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
@pytest.mark.parametrize("is_bigendian", [False, True])
def test_16_bits_are_kept_in_either_byte_order(encoding, is_bigendian):
    deep = GREY.astype(np.uint16) * 257 + 1
    pixels = deep.astype(">u2" if is_bigendian else "<u2")
    decoded = decode(pixels, encoding, is_bigendian=is_bigendian)
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, deep)


def test_16_bit_colour():
    deep = COLOR.astype(np.uint16) * 257
    np.testing.assert_array_equal(decode(deep[..., ::-1], "rgb16"), deep)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_patterns_give_back_a_flat_colour(pattern, bits):
    blue_green_red = {"b": 20, "g": 120, "r": 220}
    tile = np.array([blue_green_red[color] for color in pattern], f"uint{bits}").reshape(2, 2)
    decoded = decode(np.tile(tile, (4, 4)), f"bayer_{pattern}{bits}")
    np.testing.assert_array_equal(decoded[4, 4], [20, 120, 220])


@pytest.mark.parametrize(
    ("encoding", "order"), [("yuv422", "UYVY"), ("uyvy", "UYVY"), ("yuv422_yuy2", "YUYV")]
)
def test_packed_yuv_gives_back_a_flat_colour(encoding, order):
    y, u, v = cv2.cvtColor(np.full((1, 1, 3), (40, 90, 160), np.uint8), cv2.COLOR_BGR2YUV)[0, 0]
    samples = {"Y": y * 0.859 + 16, "U": (u - 128.0) * 1.0 + 128, "V": (v - 128.0) * 0.8 + 128}
    row = np.array([samples[name] for name in order] * 4).astype(np.uint8)
    decoded = decode(np.tile(row, (6, 1)).reshape(6, 8, 2), encoding)
    np.testing.assert_allclose(decoded[3, 3], (40, 90, 160), atol=12)


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_planar_yuv_of_no_colour_is_grey(encoding):
    pixels = np.full((9, 8), 128, np.uint8)
    decoded = decode(pixels, encoding, height=6)
    assert decoded.shape == (6, 8, 3)
    assert np.ptp(decoded) <= 1


def test_padding_of_the_rows_is_dropped():
    padded = np.pad(GREY, ((0, 0), (0, 5)))
    np.testing.assert_array_equal(decode(padded, "mono8", width=8), GREY)


def test_last_row_may_lack_its_padding():
    padded = np.pad(GREY, ((0, 0), (0, 5))).tobytes()[:-5]
    np.testing.assert_array_equal(decode_pixels(padded, "mono8", 8, 6, 13), GREY)


def test_decoded_pixels_are_writable():
    assert decode(GREY, "mono8").flags.writeable


def test_unknown_encoding_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'32FC1' is not one of mono8"):
        decode(GREY, "32FC1")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"width": 0}, "0x6 pixels is empty"),
        ({"step": 7}, "step 7 is less than the 8 bytes"),
        ({"height": 7}, "48 bytes are too few for 7 rows"),
    ],
)
def test_fields_that_do_not_fit_are_named(fields, reason):
    with pytest.raises(ValueError, match=reason):
        decode(GREY, "mono8", **fields)


def test_planar_yuv_of_odd_size_is_refused():
    with pytest.raises(ValueError, match="both have to be even"):
        decode_pixels(bytes(100), "nv12", 7, 6, 7)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_grey_or_bgr(encoding):
    image = decode_pixels(bytes(12 * 64), encoding, 8, 8, 64)
    assert image.shape in ((8, 8), (8, 8, 3))
    assert image.dtype in (np.uint8, np.uint16)
