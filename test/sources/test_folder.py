# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Folders of images, and what all sources of image files do with bad ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from records import picture, shared, write_camera_yaml, write_pictures

from feature_booster_ros.photos import find_photos
from feature_booster_ros.sources import open_source


def test_images_come_in_natural_order_with_exact_pixels(tmp_path):
    pictures = write_pictures(tmp_path, ["f1.png", "f2.png", "f10.png"])
    frames = list(open_source(tmp_path))
    assert [frame.name for frame in frames] == ["f1.png", "f2.png", "f10.png"]
    for frame, image in zip(frames, pictures, strict=True):
        np.testing.assert_array_equal(frame.image, image)


def test_stamps_are_as_far_apart_as_the_rate_says(tmp_path):
    write_pictures(tmp_path, ["a.png", "b.png", "c.png"])
    source = open_source(tmp_path, rate=4.0)
    assert [frame.stamp_ns for frame in source] == [0, 250_000_000, 500_000_000]
    assert source.rate == 4.0


def test_source_can_be_read_again(tmp_path):
    write_pictures(tmp_path, ["a.png", "b.png"])
    source = open_source(tmp_path)
    assert len(list(source)) == len(list(source)) == len(source) == 2


def test_start_step_and_count_choose_frames(tmp_path):
    write_pictures(tmp_path, [f"{index}.png" for index in range(10)])
    source = open_source(tmp_path)
    names = [frame.name for frame in source.frames(start=1, step=3, count=2)]
    assert names == ["1.png", "4.png"]


@pytest.mark.parametrize("selection", [{"start": 5}, {"start": -1}, {"step": 0}, {"count": 0}])
def test_impossible_choice_of_frames_is_refused(tmp_path, selection):
    write_pictures(tmp_path, ["a.png", "b.png"])
    with pytest.raises(ValueError, match=r"start|step|count"):
        open_source(tmp_path).frames(**selection)


def test_color_is_bgr_and_16_bits_stay(tmp_path):
    color = picture(0, color=True)
    deep = picture(1).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "a.png"), color)
    cv2.imwrite(str(tmp_path / "b.png"), deep)
    frames = list(open_source(tmp_path))
    assert [frame.encoding for frame in frames] == ["bgr8", "mono16"]
    np.testing.assert_array_equal(frames[0].image, color)
    np.testing.assert_array_equal(frames[1].image, deep)


def test_transparency_is_dropped(tmp_path):
    color = picture(0, color=True)
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([color, picture(1)]))
    (frame,) = open_source(tmp_path)
    np.testing.assert_array_equal(frame.image, color)


def test_other_files_and_hidden_ones_are_left_out(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "._a.png").write_bytes(b"resource fork")
    (tmp_path / "b.png").mkdir()
    assert len(open_source(tmp_path)) == 1


def test_file_that_is_no_image_is_skipped_and_named(tmp_path, caplog):
    write_pictures(tmp_path, ["a.png", "c.png"])
    (tmp_path / "b.png").write_bytes(b"not a picture")
    source = open_source(tmp_path)
    assert [frame.name for frame in source] == ["a.png", "c.png"]
    ((name, reason),) = source.skipped
    assert name == "b.png"
    assert "not an image" in reason
    assert "b.png skipped" in caplog.text


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_truncated_image_is_skipped(tmp_path, suffix, kept):
    names = [f"a{suffix}", f"b{suffix}", f"c{suffix}"]
    write_pictures(tmp_path, names, width=320, height=240)
    content = (tmp_path / names[1]).read_bytes()
    (tmp_path / names[1]).write_bytes(content[: int(kept * len(content))])
    source = open_source(tmp_path)
    assert [frame.name for frame in source] == [names[0], names[2]]
    assert "truncated" in source.skipped[0][1]


def test_jpeg_with_something_appended_is_whole(tmp_path):
    write_pictures(tmp_path, ["a.jpg"])
    with (tmp_path / "a.jpg").open("ab") as file:
        file.write(b"maker's own block")
    assert len(list(open_source(tmp_path))) == 1


def test_empty_file_is_skipped(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    (tmp_path / "b.png").touch()
    source = open_source(tmp_path)
    list(source)
    ((name, reason),) = source.skipped
    assert name == "b.png"
    assert "empty" in reason


def test_float_pixels_stay_float(tmp_path):
    pixels = picture(0).astype(np.float32) / 7
    cv2.imwrite(str(tmp_path / "b.tiff"), pixels)
    (frame,) = open_source(tmp_path)
    np.testing.assert_array_equal(frame.image, pixels)
    assert frame.encoding == "32FC1"


def test_skipped_counts_the_latest_pass_only(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    (tmp_path / "b.png").touch()
    source = open_source(tmp_path)
    list(source)
    list(source)
    assert len(source.skipped) == 1


def test_nothing_readable_is_an_error_with_the_first_reason(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match=r"no frame of .* could be used.*a\.png.* is empty"):
        list(open_source(tmp_path))


def test_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no images"):
        open_source(tmp_path, kind="folder")


def test_images_of_different_sizes_play_without_intrinsics(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    cv2.imwrite(str(tmp_path / "b.png"), picture(1, width=32))
    assert [frame.image.shape for frame in open_source(tmp_path)] == [(48, 64), (48, 32)]


def test_image_of_another_size_than_the_calibration_is_skipped(tmp_path):
    write_pictures(tmp_path / "images", ["a.png"])
    cv2.imwrite(str(tmp_path / "images" / "b.png"), picture(1, width=32))
    source = open_source(tmp_path / "images", camera=write_camera_yaml(tmp_path / "camera.yaml"))
    assert [frame.name for frame in source] == ["a.png"]
    assert "32x48" in source.skipped[0][1]
    assert "64x48" in source.skipped[0][1]


def test_real_photographs():
    source = open_source(shared("photos"))
    frames = list(source.frames(step=100))
    assert len(frames) == len(range(0, len(source), 100))
    assert source.skipped == []


def test_hidden_files_do_not_count_in_a_source_or_in_training(tmp_path):
    write_pictures(tmp_path, ["a10.png", "a9.PNG"])
    write_pictures(tmp_path / ".trash", ["b.png"])
    write_pictures(tmp_path / "more", ["c.png"])
    for name in ("._a9.png", ".DS_Store", "Thumbs.db", "more/._c.png"):
        (tmp_path / name).write_bytes(b"no image")
    source = open_source(tmp_path)
    assert [frame.name for frame in source] == ["a9.PNG", "a10.png"]
    assert source.skipped == []
    names = [path.relative_to(tmp_path).as_posix() for path in find_photos(tmp_path)]
    assert names == ["a9.PNG", "a10.png", "more/c.png"]


def test_photographs_below_a_hidden_folder_count(tmp_path):
    write_pictures(tmp_path / ".cache" / "photos", ["a.png"])
    assert len(find_photos(tmp_path / ".cache" / "photos")) == 1
