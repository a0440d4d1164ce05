# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Video files; and webcams, with a stand-in for the device."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from records import write_video

from feature_booster_ros.sources import open_source


def test_video_has_its_frames_in_order(tmp_path):
    frames = write_video(tmp_path / "clip.avi")
    source = open_source(tmp_path / "clip.avi")
    played = list(source)
    assert len(played) == len(source) == len(frames)
    for frame, written in zip(played, frames, strict=True):
        np.testing.assert_allclose(frame.image, written, atol=4)


def test_video_has_rate_and_stamps_of_the_file(tmp_path):
    write_video(tmp_path / "clip.avi", rate=25.0)
    source = open_source(tmp_path / "clip.avi")
    assert source.rate == 25
    assert [frame.stamp_ns for frame in source][:3] == [0, 40_000_000, 80_000_000]


def test_video_step(tmp_path):
    write_video(tmp_path / "clip.avi", rate=25.0)
    frames = list(open_source(tmp_path / "clip.avi").frames(start=1, step=2))
    assert [frame.stamp_ns for frame in frames] == [40_000_000, 120_000_000, 200_000_000]


def test_video_that_is_none_is_refused(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"not a video")
    with pytest.raises(ValueError, match=r"clip\.mp4 cannot be opened"):
        open_source(tmp_path / "clip.mp4")


def test_cut_off_video_plays_as_far_as_it_goes(tmp_path):
    path = tmp_path / "clip.avi"
    write_video(path, count=20)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 9 // 10])
    source = open_source(path)
    assert 0 < len(list(source)) < 20
    assert "promises 20 frames" in source.skipped[-1][1]


class FakeDevice:
    """Stands in for cv2.VideoCapture: delivers `frames` images and then fails."""

    frames = 3

    def __init__(self, number):
        self.number, self.settings = number, {}
        type(self).latest = self

    def isOpened(self):  # noqa: N802 (the name is OpenCV's)
        return self.number == 0

    def set(self, setting, value):
        self.settings[setting] = value

    def get(self, setting):
        return self.settings.get(setting, 30.0)

    def grab(self):
        self.frames -= 1
        return self.frames >= 0

    def retrieve(self):
        return True, np.zeros((48, 64, 3), np.uint8)

    def release(self):
        pass


@pytest.fixture
def webcam(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeDevice)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return FakeDevice


def test_webcam_is_live_without_length(webcam):
    source = open_source("webcam:0")
    assert source.is_live
    assert source.length is None
    with pytest.raises(TypeError, match="no known length"):
        len(source)


def test_webcam_stamps_rise(webcam):
    stamps = [frame.stamp_ns for frame in open_source("webcam").frames(count=3)]
    assert stamps == sorted(stamps)
    assert stamps[0] > 1_600_000_000_000_000_000


def test_webcam_takes_size_and_rate(webcam):
    open_source("webcam:0,width=1280,height=720,rate=60")
    assert webcam.latest.settings == {
        cv2.CAP_PROP_FRAME_WIDTH: 1280,
        cv2.CAP_PROP_FRAME_HEIGHT: 720,
        cv2.CAP_PROP_FPS: 60,
    }


def test_webcam_that_is_unplugged_is_an_error(webcam):
    with pytest.raises(OSError, match="unplugged"):
        list(open_source("/dev/video0"))


def test_webcam_that_is_not_there_is_an_error(webcam):
    with pytest.raises(OSError, match=r"webcam 5 cannot be opened.*group video"):
        open_source("webcam:5")


def test_webcam_has_a_number(webcam):
    with pytest.raises(ValueError, match="'front' is neither a number"):
        open_source("webcam:front")
