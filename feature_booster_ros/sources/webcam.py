# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera at this computer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import cv2

from ..camera import Camera
from .source import Frame, Source

_DEVICE = re.compile(r"/dev/video(\d+)")
# Number of failed grabs in a row after which the camera counts as unplugged.
_PATIENCE = 10


class WebcamSource(Source):
    """Frames of a webcam, stamped with the time they were grabbed; it never ends by itself.

    Args:
        target: Number of the camera, /dev/videoN, or nothing for camera 0.
        camera: Its calibration, or None.
        width, height, rate: Wanted image size in pixels and frame rate in Hz; the driver takes
            what comes nearest. 0 leaves its default.

    Raises:
        ValueError: The target is not a camera's number.
        OSError: The camera cannot be opened, or stops to deliver.
    """

    kind = "webcam"
    layout = "webcam:NUMBER or /dev/videoN"

    def __init__(
        self,
        target: str = "",
        *,
        camera: Camera | None = None,
        width: int = 0,
        height: int = 0,
        rate: float = 0.0,
    ) -> None:
        device = _DEVICE.fullmatch(target)
        number = device[1] if device else target or "0"
        if not number.isdecimal():
            raise ValueError(f"webcam {target!r} is neither a number nor /dev/videoN")
        super().__init__(f"webcam {number}", camera)
        self._capture = cv2.VideoCapture(int(number))
        if not self._capture.isOpened():
            raise OSError(
                f"{self.name} cannot be opened: is it plugged in, in use by another program, and "
                "may this user read /dev/video* (group video)?"
            )
        for wanted, setting in (
            (width, cv2.CAP_PROP_FRAME_WIDTH),
            (height, cv2.CAP_PROP_FRAME_HEIGHT),
            (rate, cv2.CAP_PROP_FPS),
        ):
            if wanted > 0:
                self._capture.set(setting, wanted)
        reported = self._capture.get(cv2.CAP_PROP_FPS)
        self._rate = reported if reported > 0 else None

    @classmethod
    def recognizes(cls, target: str) -> bool:
        """Whether the target looks like a source of this kind."""
        return _DEVICE.fullmatch(target) is not None

    @property
    def rate(self) -> float | None:
        """Frame rate in Hz as the driver states it."""
        return self._rate

    @property
    def is_live(self) -> bool:
        return True

    def close(self) -> None:
        self._capture.release()

    def _read(self, start: int, step: int) -> Iterator[Frame]:
        index = failures = 0
        while failures < _PATIENCE:
            grabbed = self._capture.grab()
            stamp_ns = time.time_ns()
            if not grabbed:
                failures += 1
                time.sleep(0.05)
                continue
            failures = 0
            if index >= start and (index - start) % step == 0:
                decoded, image = self._capture.retrieve()
                frame = self._frame(stamp_ns, image, self.name) if decoded else None
                if frame is not None:
                    yield frame
            index += 1
        raise OSError(f"{self.name} has stopped to deliver images: unplugged?")
