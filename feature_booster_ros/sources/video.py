# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Video files and network streams, as OpenCV reads them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from ..camera import Camera
from ..stamps import NANOSECONDS
from .image_sequence import existing
from .source import Frame, Source, logger

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mjpeg", ".mjpg")
)
_STREAM_PREFIXES = ("rtsp://", "rtmp://", "http://", "https://", "udp://")
# A file that does not say its rate is stamped as if it had this one.
_USUAL_RATE = 30.0


class VideoSource(Source):
    """Frames of a video file, or of a stream that OpenCV's FFmpeg opens by its address.

    Stamps of a file are the times in its container, from 0 on, whatever frame a pass starts with;
    a frame without a time comes one period of the frame rate after the one before. Stamps of a
    stream are the times of arrival.

    Args:
        target: Path of the file, or rtsp://, rtmp://, http://, https:// or udp:// address.
        camera: The camera that took it, or None.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: OpenCV cannot open it as a video.
    """

    kind = "video"
    layout = f"a file named {' '.join(sorted(VIDEO_SUFFIXES))}, or an rtsp:// or http:// address"

    def __init__(self, target: str, *, camera: Camera | None = None) -> None:
        self._is_stream = target.startswith(_STREAM_PREFIXES)
        super().__init__(target if self._is_stream else str(existing(target)), camera)
        capture = self._open()
        rate = capture.get(cv2.CAP_PROP_FPS)
        self._rate = rate if 0 < rate < float("inf") else None
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._length = count if count > 0 and not self._is_stream else None
        capture.release()

    @classmethod
    def recognizes(cls, target: str) -> bool:
        """Whether the target looks like a source of this kind."""
        if target.startswith(_STREAM_PREFIXES):
            return True
        path = Path(target).expanduser()
        return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()

    @property
    def length(self) -> int | None:
        """Number of frames as the file's header states it, None for streams."""
        return self._length

    @property
    def rate(self) -> float | None:
        return self._rate

    @property
    def is_live(self) -> bool:
        return self._is_stream

    def _read(self, start: int, step: int) -> Iterator[Frame]:
        capture = self._open()
        try:
            yield from self._decode(capture, start, step)
        finally:
            capture.release()

    def _decode(self, capture: cv2.VideoCapture, start: int, step: int) -> Iterator[Frame]:
        stamps = _ContainerTimes(self._rate or _USUAL_RATE, Path(self.name).name)
        index = 0
        while capture.grab():
            stamp_ns = time.time_ns() if self.is_live else stamps.next(capture)
            if index >= start and (index - start) % step == 0:
                name = f"{Path(self.name).name}[{index}]"
                decoded, image = capture.retrieve()
                frame = None
                if decoded:
                    frame = self._frame(stamp_ns, image, name)
                else:
                    self._skip(name, "frame cannot be decoded")
                if frame is not None:
                    yield frame
            index += 1
        if self._length is not None and index < self._length:
            self._skip(
                f"{Path(self.name).name}[{index}]",
                f"the video ends here, its header promises {self._length} frames",
            )

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self.name)
        if not capture.isOpened():
            capture.release()
            raise ValueError(
                f"video {self.name} cannot be opened: not a video, damaged, or of a codec that "
                "this OpenCV was built without"
            )
        return capture


class _ContainerTimes:
    """Times of the frames of a file, one after the other.

    Some containers (raw streams), backends and damaged files give no time, or one that does not
    rise.
    """

    def __init__(self, rate: float, name: str) -> None:
        self._period = 1000 / rate
        self._name = name
        self._origin: float | None = None
        self._last = -self._period
        self._told = False

    def next(self, capture: cv2.VideoCapture) -> int:
        """Return the time in nanoseconds of the frame just grabbed."""
        time_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
        if self._origin is None:
            # An edit list can let a video begin before zero.
            self._origin = min(time_ms, 0.0) if math.isfinite(time_ms) else 0.0
        time_ms -= self._origin
        if not self._last < time_ms < math.inf:
            if not self._told:
                logger.warning(
                    "%s: frames without a rising time in the file are stamped by its frame rate, "
                    "%.4g Hz",
                    self._name,
                    1000 / self._period,
                )
            self._told = True
            time_ms = self._last + self._period
        self._last = time_ms
        return round(time_ms * NANOSECONDS / 1000)
