# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Video files and network streams, as OpenCV reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from ..stamps import NANOSECONDS
from .frame import Camera, Frame
from .image_sequence import existing
from .source import Source

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mjpeg", ".mjpg")
)
_STREAM_PREFIXES = ("rtsp://", "rtmp://", "http://", "https://", "udp://")
# A file that does not say its rate is stamped as if it had this one.
_USUAL_RATE = 30.0


class VideoSource(Source):
    """Frames of a video file, or of a stream that OpenCV's FFmpeg opens by its address.

    Stamps of a file start at 0 and count up by its frame rate; those of a stream are the times of
    arrival.

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
    def recognises(cls, target: str) -> bool:
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
        period = NANOSECONDS / (self._rate or _USUAL_RATE)
        index = 0
        while capture.grab():
            if index >= start and (index - start) % step == 0:
                name = f"{Path(self.name).name}[{index}]"
                decoded, image = capture.retrieve()
                frame = None
                if decoded:
                    stamp_ns = time.time_ns() if self.is_live else round(index * period)
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
