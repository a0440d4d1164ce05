# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Video files; and webcams, with a stand-in for the device."""

from __future__ import annotations

import struct

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


def write_uneven_video(path, periods):
    """An MP4 whose table of times (stts) is rewritten to runs of (frames, period in 20 ms).

    They have to last 40 ms a frame on average, as the edit list (elst) says.
    """
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25.0, (64, 48))
    if not writer.isOpened():
        pytest.skip("needs an OpenCV with FFmpeg, such as that of pip")
    for index in range(sum(count for count, _ in periods)):
        writer.write(np.full((48, 64, 3), 12 * index, np.uint8))
    writer.release()
    content = bytearray(path.read_bytes())
    assert content.index(b"moov") > content.index(b"mdat")  # so no offset of a frame changes
    at = content.index(b"stts")
    _, _, entries, _, delta = struct.unpack(">4sIIII", content[at : at + 20])
    assert entries == 1
    runs = b"".join(struct.pack(">II", count, delta * period // 2) for count, period in periods)
    for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):
        start = content.index(box) - 4
        (size,) = struct.unpack(">I", content[start : start + 4])
        content[start : start + 4] = struct.pack(">I", size + len(runs) - 8)
    content[at + 8 : at + 20] = struct.pack(">I", len(periods)) + runs
    path.write_bytes(content)


def test_video_of_variable_frame_rate_has_the_times_of_its_container(tmp_path):
    path = tmp_path / "phone.mp4"
    write_uneven_video(path, [(4, 1), (4, 3)])
    times = [0, 20, 40, 60, 80, 140, 200, 260]
    assert [frame.stamp_ns // 1_000_000 for frame in open_source(path)] == times
    some = open_source(path).frames(start=3, step=2)
    assert [frame.stamp_ns // 1_000_000 for frame in some] == times[3::2]


class FakeFile:
    """Stands in for cv2.VideoCapture: delivers frames of the times given, at 10 Hz."""

    def __init__(self, times_ms):
        self.times_ms, self.index = times_ms, -1

    def isOpened(self):  # noqa: N802 (the name is OpenCV's)
        return True

    def get(self, setting):
        if setting == cv2.CAP_PROP_POS_MSEC:
            return self.times_ms[self.index]
        return {cv2.CAP_PROP_FPS: 10.0, cv2.CAP_PROP_FRAME_COUNT: len(self.times_ms)}[setting]

    def grab(self):
        self.index += 1
        return self.index < len(self.times_ms)

    def retrieve(self):
        return True, np.zeros((48, 64, 3), np.uint8)

    def release(self):
        pass


@pytest.mark.parametrize(
    ("times_ms", "stamps_ms", "is_told"),
    [
        ([0.0, 0.0, 0.0], [0, 100, 200], True),
        ([float("nan"), 0.0, -1.0], [0, 100, 200], True),
        ([0.0, 30.0, 30.0, 500.0], [0, 30, 130, 500], True),
        ([-66.0, -33.0, 0.0], [0, 33, 66], False),
        ([50.0, 80.0, 110.0], [50, 80, 110], False),
    ],
)
def test_video_stamps_rise_from_zero_on(
    tmp_path, monkeypatch, caplog, times_ms, stamps_ms, is_told
):
    (tmp_path / "clip.mp4").write_bytes(b"")
    monkeypatch.setattr(cv2, "VideoCapture", lambda name: FakeFile(times_ms))
    frames = list(open_source(tmp_path / "clip.mp4"))
    assert [frame.stamp_ns for frame in frames] == [stamp * 1_000_000 for stamp in stamps_ms]
    assert caplog.text.count("stamped by its frame rate") == is_told


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
