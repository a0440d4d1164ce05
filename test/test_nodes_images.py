# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages to grey arrays, and what is refused."""

import array

import cv2
import numpy as np
import pytest
from camera_messages import gray_photograph, image_message, photograph
from sensor_msgs.msg import CompressedImage

from feature_booster_ros.nodes import images
from feature_booster_ros.nodes.images import (
    ImageError,
    compressed_to_gray,
    supported_encodings,
    to_gray,
)

BGR = photograph()
GRAY = gray_photograph()


def mosaic(pattern: str) -> np.ndarray:
    """(H, W) as a sensor with that Bayer pattern sees the photograph."""
    raw = np.empty(GRAY.shape, np.uint8)
    for (row, column), colour in zip(((0, 0), (0, 1), (1, 0), (1, 1)), pattern, strict=True):
        raw[row::2, column::2] = BGR[row::2, column::2, "bgr".index(colour)]
    return raw


def yuv(luma_first: bool) -> np.ndarray:
    """(H, W, 2), the luma beside a chroma of 128."""
    chroma = np.full_like(GRAY, 128)
    return np.stack([GRAY, chroma] if luma_first else [chroma, GRAY], axis=2)


EXACT = {
    "mono8": GRAY,
    "8UC1": GRAY,
    "bgr8": BGR,
    "8UC3": BGR,
    "rgb8": cv2.cvtColor(BGR, cv2.COLOR_BGR2RGB),
    "bgra8": cv2.cvtColor(BGR, cv2.COLOR_BGR2BGRA),
    "8UC4": cv2.cvtColor(BGR, cv2.COLOR_BGR2BGRA),
    "rgba8": cv2.cvtColor(BGR, cv2.COLOR_BGR2RGBA),
    "uyvy": yuv(luma_first=False),
    "yuv422": yuv(luma_first=False),
    "yuyv": yuv(luma_first=True),
    "yuv422_yuy2": yuv(luma_first=True),
}
WIDE = {
    "mono16": GRAY.astype(np.uint16) * 257,
    "16UC1": GRAY.astype(np.uint16) * 257,
    "bgr16": BGR.astype(np.uint16) * 257,
    "rgba16": cv2.cvtColor(BGR, cv2.COLOR_BGR2RGBA).astype(np.uint16) * 257,
    "32FC1": GRAY.astype(np.float32) / 255,
    "32FC3": BGR.astype(np.float32) / 255,
    "64FC1": GRAY.astype(np.float64) / 255,
}


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", sorted(EXACT))
def test_eight_bits(encoding, padding):
    gray = to_gray(image_message(EXACT[encoding], encoding, padding=padding))
    assert gray.dtype == np.uint8
    np.testing.assert_allclose(gray.astype(int), GRAY, atol=1)


@pytest.mark.parametrize("padding", [0, 3, 8])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("encoding", sorted(WIDE))
def test_wide_pixels_of_full_range(encoding, big_endian, padding):
    pixels = WIDE[encoding]
    message = image_message(
        pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<")),
        encoding,
        padding=padding,
    )
    np.testing.assert_allclose(to_gray(message, "full_range").astype(int), GRAY, atol=1)


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer(pattern, padding):
    raw = mosaic(pattern)
    gray = to_gray(image_message(raw, f"bayer_{pattern}8", padding=padding))
    # Demosaicing blurs; a pattern taken for another is off by far more, in colour edges all over.
    assert np.abs(gray[2:-2, 2:-2].astype(int) - GRAY[2:-2, 2:-2]).mean() < 6
    wide = image_message(raw.astype(np.uint16) * 257, f"bayer_{pattern}16", padding=padding)
    np.testing.assert_allclose(to_gray(wide, "full_range").astype(int), gray, atol=1)


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_planar_yuv(encoding):
    chroma = np.full((len(GRAY) // 2, GRAY.shape[1]), 128, np.uint8)
    message = image_message(np.concatenate([GRAY, chroma]), encoding, height=len(GRAY))
    np.testing.assert_array_equal(to_gray(message), GRAY)


def test_conversion_without_cv_bridge(monkeypatch):
    monkeypatch.setattr(images, "_BRIDGE", None)
    np.testing.assert_allclose(to_gray(image_message(BGR, "bgr8")).astype(int), GRAY, atol=1)


def test_mono8_is_not_copied():
    message = image_message(GRAY, "mono8")
    assert np.shares_memory(to_gray(message), np.frombuffer(message.data, np.uint8))


def test_stretch_uses_all_grey_values_of_a_thermal_image():
    """14 bits, of which the scene takes a few hundred counts, and two dead pixels."""
    thermal = 7000 + GRAY.astype(np.uint16) * 2
    thermal[0, 0], thermal[1, 1] = 0, 16383
    gray = to_gray(image_message(thermal, "mono16"))
    assert np.corrcoef(gray.ravel(), GRAY.ravel())[0, 1] > 0.98
    assert gray.min() == 0 and gray.max() == 255
    assert np.ptp(to_gray(image_message(thermal, "mono16"), "full_range")[2:]) < 4


def test_signed_depth():
    gray = to_gray(image_message(GRAY.astype(np.int16) - 100, "16SC1"))
    assert np.corrcoef(gray.ravel(), GRAY.ravel())[0, 1] > 0.98


def test_values_that_are_not_finite_are_black():
    depth = GRAY.astype(np.float32) / 50
    depth[:, :40] = np.nan
    depth[:, -40:] = np.inf
    depth[:10] = -np.inf
    gray = to_gray(image_message(depth, "32FC1"))
    assert (gray[:, :40] == 0).all() and (gray[:10] == 0).all()
    inner = gray[10:, 40:-40]
    assert np.corrcoef(inner.ravel(), GRAY[10:, 40:-40].ravel())[0, 1] > 0.98
    assert (to_gray(image_message(np.full((8, 8), np.nan, np.float32), "32FC1")) == 0).all()


@pytest.mark.parametrize("encoding", ["mono8", "mono16", "32FC1", "bgr8"])
def test_one_colour(encoding):
    shape = (48, 64, 3) if encoding == "bgr8" else (48, 64)
    pixels = np.full(shape, 99, {"mono16": np.uint16, "32FC1": np.float32}.get(encoding, np.uint8))
    assert np.ptp(to_gray(image_message(pixels, encoding))) == 0


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"encoding": "rgb9"}, r"Image\.encoding 'rgb9' is not supported.*mono8"),
        ({"encoding": ""}, r"Image\.encoding ''"),
        ({"encoding": "mono16"}, r"Image\.step is 320 bytes.*320 pixels in mono16 takes 640"),
        ({"width": 0}, r"Image\.width is 0"),
        ({"height": 0}, r"Image\.height is 0"),
        ({"width": 321}, r"Image\.step is 320"),
        ({"step": 319}, r"Image\.step is 319"),
        ({"step": 0}, r"Image\.step is 0"),
        (
            {"step": 640},
            r"Image\.data has 76800 bytes, but 240 rows with a step of 640 bytes take 153600",
        ),
        ({"height": 241}, r"Image\.data has 76800"),
        ({"height": 239}, r"Image\.data has 76800"),
        ({"data": array.array("B")}, r"Image\.data has 0"),
        ({"height": 2**32 - 1, "step": 2**32 - 1}, r"Image\.data has 76800"),
    ],
)
def test_bad_image_is_refused_by_field(fields, named):
    with pytest.raises(ImageError, match=named):
        to_gray(image_message(GRAY, **{"encoding": "mono8", **fields}))


def test_bayer_too_small_to_demosaic():
    assert to_gray(image_message(np.zeros((1, 1), np.uint8), "bayer_rggb8")).shape == (1, 1)


def test_every_encoding_is_tested():
    tested = {
        *EXACT,
        *WIDE,
        "16SC1",
        "nv12",
        "nv21",
        *(f"bayer_{p}{b}" for p in ("rggb", "bggr", "gbrg", "grbg") for b in (8, 16)),
    }
    assert set(supported_encodings()) - tested == {"16UC3", "bgra16", "rgb16", "nv24"}


def compressed(pixels: np.ndarray, extension: str, **fields: object) -> CompressedImage:
    message = CompressedImage(format=f"bgr8; {extension} compressed bgr8")
    message.data = array.array("B", cv2.imencode(f".{extension}", pixels)[1].tobytes())
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def test_compressed():
    np.testing.assert_array_equal(compressed_to_gray(compressed(GRAY, "png")), GRAY)
    np.testing.assert_allclose(compressed_to_gray(compressed(BGR, "png")).astype(int), GRAY, atol=1)
    assert np.abs(compressed_to_gray(compressed(BGR, "jpg")).astype(int) - GRAY).mean() < 4
    wide = compressed_to_gray(compressed(GRAY.astype(np.uint16) * 257, "png"), "full_range")
    np.testing.assert_allclose(wide.astype(int), GRAY, atol=1)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"data": array.array("B")}, r"CompressedImage\.data is empty"),
        ({"data": array.array("B", b"no image at all")}, r"CompressedImage\.data.*truncated"),
        (
            {"data": array.array("B", cv2.imencode(".png", GRAY)[1].tobytes()[:60])},
            r"CompressedImage\.data",
        ),
        ({"format": "16UC1; compressedDepth png"}, r"CompressedImage\.format.*raw"),
    ],
)
def test_bad_compressed_image_is_refused_by_field(fields, named):
    with pytest.raises(ImageError, match=named):
        compressed_to_gray(compressed(GRAY, "png", **fields))
