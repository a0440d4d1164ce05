# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image messages to gray arrays: the same as offline, and what is refused by which field."""

import array
import itertools

import cv2
import numpy as np
import pytest
from camera_messages import gray_photograph, image_message, photograph
from sensor_msgs.msg import CompressedImage

from feature_booster_ros import pixels
from feature_booster_ros.nodes import images
from feature_booster_ros.nodes.images import ImageError, message_to_gray

BGR = photograph()
GRAY = gray_photograph()


def mosaic(pattern: str) -> np.ndarray:
    """(H, W) as a sensor with that Bayer pattern sees the photograph."""
    raw = np.empty(GRAY.shape, np.uint8)
    for (row, column), color in zip(((0, 0), (0, 1), (1, 0), (1, 1)), pattern, strict=True):
        raw[row::2, column::2] = BGR[row::2, column::2, "bgr".index(color)]
    return raw


def packed_yuv(order: str) -> np.ndarray:
    """(H, W, 2) of full range."""
    luma, red, blue = cv2.split(cv2.cvtColor(BGR, cv2.COLOR_BGR2YCrCb))
    packed = np.empty((*GRAY.shape, 2), np.uint8)
    packed[..., order.index("y")] = luma
    packed[:, 0::2, 1 - order.index("y")] = blue[:, 0::2]
    packed[:, 1::2, 1 - order.index("y")] = red[:, 0::2]
    return packed


def planar_yuv() -> np.ndarray:
    """(1.5 H, W), of gray colors."""
    return np.concatenate([GRAY, np.full((len(GRAY) // 2, GRAY.shape[1]), 128, np.uint8)])


BYTES = {
    "mono8": GRAY,
    "8UC1": GRAY,
    "bgr8": BGR,
    "8UC3": BGR,
    "rgb8": cv2.cvtColor(BGR, cv2.COLOR_BGR2RGB),
    "bgra8": cv2.cvtColor(BGR, cv2.COLOR_BGR2BGRA),
    "8UC4": cv2.cvtColor(BGR, cv2.COLOR_BGR2BGRA),
    "rgba8": cv2.cvtColor(BGR, cv2.COLOR_BGR2RGBA),
    "uyvy": packed_yuv("uy"),
    "yuv422": packed_yuv("uy"),
    "yuyv": packed_yuv("yu"),
    "yuv422_yuy2": packed_yuv("yu"),
    **{f"bayer_{pattern}8": mosaic(pattern) for pattern in ("rggb", "bggr", "gbrg", "grbg")},
}
WIDE = {
    "mono16": GRAY.astype(np.uint16) * 257,
    "16UC1": GRAY.astype(np.uint16) * 257,
    "16SC1": (GRAY.astype(np.int32) * 257 - 32768).astype(np.int16),
    "bgr16": BGR.astype(np.uint16) * 257,
    "rgba16": cv2.cvtColor(BGR, cv2.COLOR_BGR2RGBA).astype(np.uint16) * 257,
    "32FC1": GRAY.astype(np.float32) / 255,
    "32FC3": BGR.astype(np.float32) / 255,
    "64FC1": GRAY.astype(np.float64) / 255,
    "bayer_grbg16": mosaic("grbg").astype(np.uint16) * 257,
}


def offline(message, wide_pixels="stretch"):
    """What evaluation makes of the frame that a bag's message becomes."""
    fields = ("encoding", "width", "height", "step", "is_bigendian")
    image = pixels.decode_raw(message.data, *(getattr(message, name) for name in fields))
    return pixels.to_gray(image, wide_pixels)


def tolerance(encoding):
    """Demosaicing blurs, by several gray values in the mean and by many at edges."""
    return 255 if encoding.startswith("bayer") else 1


@pytest.mark.parametrize("bridge", [True, False])
@pytest.mark.parametrize("big_endian", [0, 1])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", BYTES)
def test_eight_bits(encoding, padding, big_endian, bridge, monkeypatch):
    """Byte order means nothing for bytes."""
    if not bridge:
        monkeypatch.setattr(images, "_BRIDGE", None)
    message = image_message(BYTES[encoding], encoding, padding=padding, is_bigendian=big_endian)
    gray = message_to_gray(message)
    assert gray.dtype == np.uint8
    np.testing.assert_allclose(gray.astype(int), GRAY, atol=tolerance(encoding))
    assert np.abs(gray[2:-2, 2:-2].astype(int) - GRAY[2:-2, 2:-2]).mean() < 6
    # Colors of YUV that do not exist in RGB are clipped.
    difference = np.abs(gray.astype(int) - offline(message))
    assert difference.mean() < 0.5
    assert encoding[:2] in ("yu", "uy") or difference.max() == 0


@pytest.mark.parametrize("wide_pixels", pixels.WIDE_PIXELS)
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("encoding", WIDE)
def test_wide_pixels(encoding, big_endian, padding, wide_pixels):
    image = WIDE[encoding]
    order = image.dtype.newbyteorder(">" if big_endian else "<")
    message = image_message(image.astype(order), encoding, padding=padding)
    gray = message_to_gray(message, wide_pixels)
    np.testing.assert_array_equal(gray, offline(message, wide_pixels))
    if wide_pixels == "full_range":
        np.testing.assert_allclose(gray.astype(int), GRAY, atol=tolerance(encoding))


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_planar_yuv(encoding):
    message = image_message(planar_yuv(), encoding, height=len(GRAY))
    np.testing.assert_array_equal(message_to_gray(message), GRAY)
    np.testing.assert_allclose(offline(message).astype(int), GRAY, atol=1)


class BrokenBridge:
    """As one that is built for another NumPy."""

    calls = 0

    def imgmsg_to_cv2(self, *_):
        BrokenBridge.calls += 1
        raise AttributeError("_ARRAY_API not found")


def test_bridge_that_fails_is_left_aside(monkeypatch):
    monkeypatch.setattr(images, "_BRIDGE", BrokenBridge())
    for _ in range(3):
        np.testing.assert_allclose(
            message_to_gray(image_message(BGR, "bgr8")).astype(int), GRAY, atol=1
        )
    assert BrokenBridge.calls == 1


def test_mono8_is_not_copied():
    message = image_message(GRAY, "mono8")
    assert np.shares_memory(message_to_gray(message), np.frombuffer(message.data, np.uint8))


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
        (
            {"step": 640},
            r"Image\.data has 76800 bytes, but 240 rows with a step of 640 bytes take 153600",
        ),
        ({"height": 241}, r"Image\.data has 76800"),
        ({"data": array.array("B")}, r"Image\.data has 0"),
        ({"height": 2**32 - 1, "step": 2**32 - 1}, r"Image\.data has 76800"),
        ({"width": 30000, "height": 30000, "step": 30000}, r"Image\.data has 76800"),
    ],
)
def test_bad_image_is_refused_by_field(fields, named):
    with pytest.raises(ImageError, match=named):
        message_to_gray(image_message(GRAY, **{"encoding": "mono8", **fields}))


def test_bayer_too_small_to_demosaic():
    assert message_to_gray(image_message(np.zeros((1, 1), np.uint8), "bayer_rggb8")).shape == (1, 1)


def compressed(image: np.ndarray, extension: str, **fields: object) -> CompressedImage:
    message = CompressedImage(format=f"bgr8; {extension} compressed bgr8")
    message.data = array.array("B", cv2.imencode(f".{extension}", image)[1].tobytes())
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def test_compressed():
    np.testing.assert_array_equal(message_to_gray(compressed(GRAY, "png")), GRAY)
    np.testing.assert_allclose(message_to_gray(compressed(BGR, "png")).astype(int), GRAY, atol=1)
    assert np.abs(message_to_gray(compressed(BGR, "jpg")).astype(int) - GRAY).mean() < 4
    wide = message_to_gray(compressed(GRAY.astype(np.uint16) * 257, "png"), "full_range")
    np.testing.assert_allclose(wide.astype(int), GRAY, atol=1)


@pytest.mark.parametrize(
    ("encoding", "extension"),
    [
        *itertools.product(["bgr8", "mono8", "bayer_gbrg8"], ["png", "jpg"]),
        ("mono16", "png"),  # JPEG has 8 bits
    ],
)
def test_compressed_is_the_same_offline(encoding, extension):
    image = {**BYTES, **WIDE}[encoding]
    message = compressed(image, extension, format=f"{encoding}; {extension} compressed ")
    gray = message_to_gray(message)
    same = pixels.to_gray(pixels.decode_compressed(message.data, message.format))
    np.testing.assert_array_equal(gray, same)


def test_compressed_mosaic_is_the_raw_one():
    raw = message_to_gray(image_message(mosaic("rggb"), "bayer_rggb8"))
    message = compressed(mosaic("rggb"), "png", format="bayer_rggb8; png compressed ")
    np.testing.assert_array_equal(message_to_gray(message), raw)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"data": array.array("B")}, r"CompressedImage\.data is empty"),
        ({"data": array.array("B", b"no image at all")}, r"CompressedImage\.data.*truncated"),
        (
            {"data": array.array("B", cv2.imencode(".jpg", GRAY)[1].tobytes()[:-400])},
            r"CompressedImage\.data.*truncated",
        ),
        ({"format": "16UC1; compressedDepth png"}, r"CompressedImage\.format.*raw"),
    ],
)
def test_bad_compressed_image_is_refused_by_field(fields, named):
    with pytest.raises(ImageError, match=named):
        message_to_gray(compressed(GRAY, "png", **fields))
