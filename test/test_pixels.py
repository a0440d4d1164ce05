# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pixels of messages and files, against packing and gray values computed here."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from records import picture

from feature_booster_ros import memory, pixels
from feature_booster_ros.pixels import (
    decode_compressed,
    decode_raw,
    image_encoding,
    read_gray,
    read_image,
    shrink,
    to_gray,
)

SIZES = [(8, 6), (7, 5)]
DTYPES = {
    "8U": np.uint8,
    "8S": np.int8,
    "16U": np.uint16,
    "16S": np.int16,
    "32S": np.int32,
    "32F": np.float32,
    "64F": np.float64,
}
# Where each channel of BGR lies in a pixel.
COLORS = {"bgr": (0, 1, 2), "rgb": (2, 1, 0), "bgra": (0, 1, 2), "rgba": (2, 1, 0)}


def values(dtype, width, height, channels):
    """Random pixels over the whole range of a type, which no byte order leaves as they are."""
    rng = np.random.default_rng(5)
    shape = (height, width, channels) if channels > 1 else (height, width)
    if np.dtype(dtype).kind == "f":
        return rng.random(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def rows(image, big_endian=False, padding=0):
    """The bytes of an image as a message has them, and the step."""
    image = image.astype(image.dtype.newbyteorder(">" if big_endian else "<"))
    lines = [line.tobytes() + b"\x4d" * padding for line in image]
    return b"".join(lines), len(lines[0])


def decode(image, encoding, big_endian=False, padding=0, **options):
    data, step = rows(image, big_endian, padding)
    height, width = image.shape[:2]
    return decode_raw(data, encoding, width, height, step, big_endian, **options)


def gray_of(bgr):
    """Rec. 601 luma by the definition."""
    return bgr.astype(np.float64) @ [0.114, 0.587, 0.299]


def full_range(values):
    """0 to 255 by the definition of the option."""
    low, high = 0.0, 1.0
    if values.dtype.kind != "f":
        low, high = float(np.iinfo(values.dtype).min), float(np.iinfo(values.dtype).max)
    return (values.astype(np.float64) - low) / (high - low) * 255


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", DTYPES)
def test_opencv_types(depth, channels, big_endian, padding, size):
    image = values(DTYPES[depth], *size, channels)
    decoded = decode(image, f"{depth}C{channels}", big_endian, padding)
    expected = image[..., 0] if channels == 2 else image[..., :3] if channels > 2 else image
    assert decoded.dtype == image.dtype
    np.testing.assert_array_equal(decoded, expected)
    gray = to_gray(decoded, "full_range")
    bright = full_range(expected)
    assert gray.dtype == np.uint8
    np.testing.assert_allclose(gray, gray_of(bright) if channels > 2 else bright, atol=1.01)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", COLORS)
def test_named_colors(name, bits, big_endian, padding, size):
    dtype = np.dtype(f"u{bits // 8}")
    bgr = values(dtype, *size, 3)
    packed = values(dtype, *size, len(name))
    packed[..., :3] = bgr[..., COLORS[name]]
    decoded = decode(packed, f"{name}{bits}", big_endian, padding)
    np.testing.assert_array_equal(decoded, bgr)
    np.testing.assert_allclose(to_gray(decoded, "full_range"), gray_of(full_range(bgr)), atol=1.01)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("big_endian", [False, True])
def test_named_gray(bits, big_endian):
    image = values(np.dtype(f"u{bits // 8}"), 7, 5, 1)
    np.testing.assert_array_equal(decode(image, f"mono{bits}", big_endian, 1), image)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer(pattern, bits, big_endian, padding, size):
    """Demosaicing keeps the samples of the sensor where they are, and a flat color flat."""
    raw = values(np.dtype(f"u{bits // 8}"), *size, 1)
    decoded = decode(raw, f"bayer_{pattern}{bits}", big_endian, padding)
    for number, color in enumerate(pattern):
        at = slice(2 + number // 2, -1, 2), slice(2 + number % 2, -1, 2)
        np.testing.assert_array_equal(decoded[at][..., "bgr".index(color)], raw[at])
    scale = 257 if bits == 16 else 1
    levels = {"b": 20, "g": 120, "r": 220}
    tile = np.array([levels[color] * scale for color in pattern], raw.dtype).reshape(2, 2)
    flat = decode(np.tile(tile, (4, 4)), f"bayer_{pattern}{bits}", big_endian, padding)
    assert (flat == np.array([20, 120, 220]) * scale).all()


def yuv_picture(width, height, down, across):
    """Smooth Y, U and V within the colors that exist; chroma constant over the shared pixels."""
    row, column = np.mgrid[:height, :width]
    luma = (60 + 9 * row + 8 * column).astype(np.uint8)
    blue = (110 + 4 * (row // down) + 3 * (column // across)).astype(np.uint8)
    red = (150 - 3 * (row // down) - 4 * (column // across)).astype(np.uint8)
    return luma, blue, red


def jfif(luma, blue, red):
    """BGR by JFIF 1.02, section 7."""
    luma, blue, red = (plane.astype(np.float64) for plane in (luma, blue - 128.0, red - 128.0))
    return np.stack(
        [luma + 1.772 * blue, luma - 0.34414 * blue - 0.71414 * red, luma + 1.402 * red], axis=-1
    )


def check_yuv(decoded, luma, planes):
    bgr, gray = decoded
    np.testing.assert_array_equal(gray, luma)
    np.testing.assert_allclose(bgr, jfif(luma, *planes), atol=1.5)
    # What offline tools make of the colors is what the nodes make of the luma.
    np.testing.assert_allclose(to_gray(bgr).astype(int), luma, atol=1)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [("uyvy", "uyvy"), ("yuv422", "uyvy"), ("yuyv", "yuyv"), ("yuv422_yuy2", "yuyv")],
)
def test_packed_yuv(encoding, order, padding, size, big_endian):
    luma, blue, red = yuv_picture(*size, 1, 2)
    packed = np.empty((*luma.shape, 2), np.uint8)
    packed[..., order.index("y")] = luma
    chroma = 1 - order.index("y")
    packed[:, 0::2, chroma] = blue[:, 0::2]
    packed[:, 1::2, chroma] = red[:, 1::2]
    if size[0] % 2:  # the last pixel has no V: that of its neighbor stands in
        red[:, -1] = red[:, -2]
    check_yuv(
        [decode(packed, encoding, big_endian, padding, color=color) for color in (True, False)],
        luma,
        (blue, red),
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "order", "share"), [("nv12", "uv", 2), ("nv21", "vu", 2), ("nv24", "uv", 1)]
)
def test_planar_yuv(encoding, order, share, padding, size):
    width, height = size
    luma, blue, red = yuv_picture(width, height, share, share)
    pairs = np.stack([{"u": blue, "v": red}[name][::share, ::share] for name in order], axis=-1)
    data, step = rows(luma, padding=padding)
    chroma_step = max(step * 2 // share, pairs.shape[1] * 2)
    data += rows(pairs.reshape(len(pairs), -1), padding=chroma_step - pairs.shape[1] * 2)[0]
    for given in {step, step if padding else 2 * width}:  # unpadded, the length tells the step
        check_yuv(
            [decode_raw(data, encoding, *size, given, color=color) for color in (True, False)],
            luma,
            (blue, red),
        )


def test_planar_yuv_without_its_colors_is_refused():
    with pytest.raises(ValueError, match=r"data has 48 bytes.*chroma.*take 72"):
        decode_raw(bytes(48), "nv12", 8, 6, 8)


@pytest.mark.parametrize("encoding", ["MONO8", "Mono8", " mono8", "8UC", "CV_8UC1", "8uc1"])
def test_spelling_of_an_encoding(encoding):
    image = picture(0, 8, 6)
    np.testing.assert_array_equal(decode(image, encoding), image)


def test_last_row_without_padding_and_bytes_after_it():
    image = picture(0, 8, 6)
    data, step = rows(image, padding=5)
    for given in (data[:-5], data + b"more", np.frombuffer(data, np.uint8)):
        np.testing.assert_array_equal(decode_raw(given, "mono8", 8, 6, step), image)


def test_gray_bytes_are_not_copied():
    data = np.zeros(48, np.uint8)
    assert np.shares_memory(to_gray(decode_raw(data, "mono8", 8, 6, 8)), data)


@pytest.mark.parametrize(
    ("encoding", "fields", "reason"),
    [
        ("rgb9", {}, "encoding 'rgb9' is not supported.*mono8.*32FC1"),
        ("8UC5", {}, "encoding '8UC5' is not supported"),
        ("", {}, "encoding ''"),
        ("mono8", {"width": 0}, "width is 0"),
        ("mono8", {"height": 0}, "height is 0"),
        ("mono8", {"step": 7}, "step is 7 bytes, but a row of 8 pixels in mono8 takes 8"),
        ("mono16", {}, "step is 8 bytes.*takes 16"),
        ("mono8", {"height": 7}, "data has 48 bytes, but 7 rows with a step of 8 bytes take 56"),
        ("mono8", {"width": 30000, "height": 30000, "step": 30000}, "data has 48 bytes"),
    ],
)
def test_fields_that_do_not_fit_are_named(encoding, fields, reason):
    with pytest.raises(ValueError, match=f"^{reason}"):
        decode_raw(bytes(48), **{"encoding": encoding, "width": 8, "height": 6, "step": 8} | fields)


@pytest.mark.parametrize("encoding", ["rgb8", "mono16", "yuv422"])
@pytest.mark.parametrize("step", [0, 8])
def test_step_that_is_left_out_or_counts_pixels(encoding, step):
    """Only where the data are rows without padding."""
    row_bytes = 8 * (3 if encoding == "rgb8" else 2)
    data = np.random.default_rng(0).integers(0, 256, 6 * row_bytes, np.uint8).tobytes()
    np.testing.assert_array_equal(
        decode_raw(data, encoding, 8, 6, step), decode_raw(data, encoding, 8, 6, row_bytes)
    )
    for wrong in (data + b"0", data[:-1]):
        with pytest.raises(ValueError, match=f"^step is {step} bytes"):
            decode_raw(wrong, encoding, 8, 6, step)


# Compressed images


@pytest.mark.parametrize("format", ["h264", "hevc", "H.265", "bgr8; av1", "theora"])
def test_video_packets_are_named(format):
    with pytest.raises(ValueError, match=f"^format '{format}' is a packet of .* republish"):
        decode_compressed(b"\0\0\0\1", format)


def encoded(image, extension=".png"):
    return cv2.imencode(extension, image)[1].tobytes()


@pytest.mark.parametrize(
    "image",
    [
        picture(0),
        picture(0, color=True),
        picture(0).astype(np.uint16) * 257,
        picture(0, color=True).astype(np.uint16) * 257,
    ],
    ids=["mono8", "bgr8", "mono16", "bgr16"],
)
@pytest.mark.parametrize(
    "format", ["", "png", "bgr8; png compressed bgr8", "16UC1; png compressed"]
)
def test_png(image, format):
    np.testing.assert_array_equal(decode_compressed(encoded(image), format), image)
    gray = decode_compressed(encoded(image), format, color=False)
    assert gray.shape == (48, 64)
    np.testing.assert_allclose(
        to_gray(gray, "full_range").astype(int), to_gray(image, "full_range"), atol=1
    )


def test_transparency_is_dropped():
    image = picture(0, color=True)
    np.testing.assert_array_equal(
        decode_compressed(encoded(np.dstack([image, image[..., 0]]))), image
    )


def test_float_file():
    image = picture(0).astype(np.float32) / 7
    np.testing.assert_array_equal(decode_compressed(encoded(image, ".tiff")), image)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize(
    "format", ["bayer_{}8; png compressed ", "BAYER_{}8;png compressed", "bayer_{}8"]
)
def test_mosaic_in_a_compressed_image(pattern, format):
    raw = picture(0)
    for bits in (8, 16):
        sensor = raw.astype(f"u{bits // 8}") * (257 if bits == 16 else 1)
        name = format.format(pattern).replace("8", str(bits))
        np.testing.assert_array_equal(
            decode_compressed(encoded(sensor), name), decode(sensor, f"bayer_{pattern}{bits}")
        )


def test_mosaic_that_the_publisher_has_converted_is_left_alone():
    color, gray = picture(0, color=True), picture(1)
    np.testing.assert_array_equal(
        decode_compressed(encoded(color), "bayer_rggb8; png compressed bgr8"), color
    )
    np.testing.assert_array_equal(
        decode_compressed(encoded(gray), "bayer_rggb8; png compressed mono8"), gray
    )


@pytest.mark.parametrize(
    "format", ["16UC1; compressedDepth png", "32FC1; compressedDepth", "; compressedDepth rvl"]
)
def test_compressed_depth_is_named(format):
    with pytest.raises(ValueError, match=r"^format .*compressedDepth.* raw topic"):
        decode_compressed(bytes(12) + encoded(picture(0)), format)


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".pgm", ".bmp"])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.995])
def test_truncated(extension, kept, color):
    whole = encoded(picture(0, 640, 480), extension)
    with pytest.raises(ValueError, match=r"^data of format 'x' \(\d+ bytes\) is truncated"):
        decode_compressed(whole[: int(kept * len(whole))], "x", color=color)


@pytest.mark.parametrize("size", [(640, 480), (637, 485)])
@pytest.mark.parametrize("color", [False, True])
def test_jpeg_without_its_end_marker(size, color):
    whole = encoded(picture(0, *size), ".jpg")
    assert whole.endswith(b"\xff\xd9")
    np.testing.assert_array_equal(
        decode_compressed(whole[:-2], color=color), decode_compressed(whole, color=color)
    )
    for lost in (200, 2000, len(whole) // 2):
        with pytest.raises(ValueError, match="truncated"):
            decode_compressed(whole[:-lost], color=color)
    _, progressive = cv2.imencode(".jpg", picture(0), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    with pytest.raises(ValueError, match="truncated"):
        decode_compressed(progressive.tobytes()[:-2])


def test_jpeg_with_blocks_appended_and_a_thumbnail_before():
    whole, thumbnail = encoded(picture(0), ".jpg"), encoded(picture(1, 16, 16), ".jpg")
    segment = b"\xff\xe5" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    photo = whole[:2] + segment + whole[2:]
    np.testing.assert_array_equal(decode_compressed(photo + b"appended"), decode_compressed(whole))
    with pytest.raises(ValueError, match="truncated"):
        decode_compressed(photo[:-500])


def test_what_is_no_image():
    with pytest.raises(ValueError, match="^data is empty"):
        decode_compressed(b"")
    with pytest.raises(ValueError, match=r"^data of format 'gif' \(4 bytes\) is.* JPEG, PNG"):
        decode_compressed(b"\0\0\0\1", "gif")


def turned(image):
    """A JPEG whose tag says that it is to be turned by 90 degrees (EXIF 2.3, orientation 6)."""
    tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    whole = encoded(image, ".jpg")
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + whole[2:]


def test_orientation_tag_turns_no_image(tmp_path):
    photo = turned(picture(0))
    tagged = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    assert tagged.shape[:2] == (64, 48)  # the tag is there
    (tmp_path / "photo.jpg").write_bytes(photo)
    for image in (
        decode_compressed(photo),
        decode_compressed(photo, color=False),
        read_image(tmp_path / "photo.jpg"),
        read_gray(tmp_path / "photo.jpg"),
    ):
        assert image.shape == (48, 64)


def declared(width, height):
    """A complete PNG of one pixel that declares another size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    return start + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + encoded(picture(0))[33:]


def test_declared_size_is_checked_before_decoding(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1_000_000_000)
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ValueError, match=r"30000 x 20000 pixels.*2\.4 GB.*1\.0 GB.*resize"):
        decode_compressed(declared(30000, 20000))
    jpeg = encoded(picture(0), ".jpg")
    frame = jpeg.index(b"\xff\xc0") + 5
    with pytest.raises(ValueError, match="40000 x 30000 pixels"):
        decode_compressed(
            jpeg[:frame] + struct.pack(">HH", 30000, 40000) + jpeg[frame + 4 :], "jpeg"
        )


def test_size_that_opencv_refuses(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: None)  # or it may be too little
    with pytest.raises(ValueError, match=r"^data of \d+ bytes"):
        decode_compressed(declared(2**20, 2**12))


# To 8 bits


def test_stretch_uses_all_gray_values_of_a_thermal_image():
    """14 bits, of which the scene takes some hundred counts, and two dead pixels."""
    scene = cv2.GaussianBlur(picture(0), (0, 0), 3)
    thermal = 7000 + scene.astype(np.uint16) * 2
    thermal[0, 0], thermal[1, 1] = 0, 16383
    gray = to_gray(thermal)
    low, high = np.percentile(thermal, [1, 99])
    expected = np.clip((thermal.astype(float) - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(gray.astype(int), expected, atol=0.51)
    assert np.ptp(to_gray(thermal, "full_range")[2:]) < 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_stretch_of_small_differences_far_from_zero(dtype):
    offset = 1e9 if dtype != np.float32 else 1e4
    gray = to_gray((offset + picture(0)).astype(dtype))
    assert np.corrcoef(gray.ravel(), picture(0).ravel())[0, 1] > 0.99


@pytest.mark.parametrize("wide_pixels", pixels.WIDE_PIXELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_values_that_are_not_finite_are_black(wide_pixels, dtype, channels):
    image = np.full((48, 64, channels), 0.5, dtype)
    image[10:, 10:] = 1.0
    image[:5], image[5:10, :20], image[5:10, 20:] = np.nan, np.inf, -np.inf
    gray = to_gray(image.squeeze(), wide_pixels)
    assert (gray[:10] == 0).all()
    assert (gray[10:, 10:] == 255).all()
    assert (to_gray(np.full((8, 8), np.nan, dtype), wide_pixels) == 0).all()


def test_rare_values_on_a_constant_ground_are_seen():
    image = np.full((100, 100), 300, np.uint16)
    image[50:53, 50:53] = 400
    assert (to_gray(image)[51, 51], to_gray(image)[0, 0]) == (255, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_one_value(dtype):
    assert np.ptp(to_gray(np.full((8, 8, 3), 99, dtype))) == 0


def test_what_is_no_image_of_numbers():
    for image in (None, [[1]], np.zeros((4, 4), bool), np.zeros((4, 4, 5), np.uint8), np.zeros(4)):
        with pytest.raises(ValueError, match="pixels"):
            to_gray(image)
    with pytest.raises(ValueError, match=r"stretch, full_range, not 'auto'"):
        to_gray(np.zeros((4, 4), np.uint16), "auto")


@pytest.mark.parametrize(
    ("image", "encoding"),
    [
        (np.zeros((4, 4), np.uint8), "mono8"),
        (np.zeros((4, 4, 3), np.uint16), "bgr16"),
        (np.zeros((4, 4), np.int16), "16SC1"),
        (np.zeros((4, 4, 3), np.float32), "32FC3"),
        (np.zeros((4, 4), np.float64), "64FC1"),
    ],
)
def test_encoding_of_an_array(image, encoding):
    assert image_encoding(image) == encoding


# Files


def test_file_of_any_name(tmp_path):
    path = tmp_path / "größe 図.png"
    path.write_bytes(encoded(picture(0)))
    np.testing.assert_array_equal(read_image(path), picture(0))
    np.testing.assert_array_equal(read_gray(str(path)), picture(0))


def test_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"image .*absent\.png does not exist"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ValueError, match=r"image .* cannot be read: Is a directory"):
        read_image(tmp_path)
    (tmp_path / "cut.jpg").write_bytes(encoded(picture(0), ".jpg")[:-500])
    with pytest.raises(ValueError, match=r"image .*cut\.jpg cannot be read: .*truncated"):
        read_gray(tmp_path / "cut.jpg")


def test_shrink():
    image, ratio = shrink(picture(0, 64, 48), 32)
    assert image.shape == (24, 32)
    assert ratio == 0.5
    assert shrink(picture(0), 100)[1] == shrink(picture(0), None)[1] == 1.0
