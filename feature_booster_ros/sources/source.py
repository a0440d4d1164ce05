# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames, the base class of every source of them, and their playback."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import ClassVar, TypeVar

import numpy as np

from ..camera import Calibration, Camera
from ..depth import RightImage
from ..pixels import image_encoding
from ..stamps import NANOSECONDS

logger = logging.getLogger("feature_booster_ros.sources")

# Frame rate between passes of a record without a rate [Hz].
USUAL_RATE = 10.0


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a source.

    Attributes:
        stamp_ns: Time of exposure in integer nanoseconds; the epoch is the record's own.
        image: Pixels (H, W) or (H, W, 3) in BGR order, of any number type that
            sensor_msgs/image_encodings.hpp has; ``pixels.to_gray`` makes them 8 bits.
        camera: The calibrated camera, of the image's size; None if it is not known.
        name: File name, topic or device, to tell the user about.
        pose: Ground truth, (4, 4) float64 camera to world in meters; None if it is not known.
            The camera looks along +z with x to the right and y down (REP 103, optical frame).
        frame_id: Coordinate frame as recorded; empty if the record has none.
        recorded: CameraInfo as recorded, also of a camera that is not calibrated; None if the
            record has none.
        read_depth: Reads `depth`, which costs time only where it is used.
        read_right: Reads `right`.
    """

    stamp_ns: int
    image: np.ndarray
    camera: Camera | None = None
    name: str = ""
    pose: np.ndarray | None = None
    frame_id: str = ""
    recorded: Calibration | None = None
    read_depth: Callable[[], np.ndarray | None] = field(default=lambda: None, repr=False)
    read_right: Callable[[], RightImage | None] = field(default=lambda: None, repr=False)

    @cached_property
    def depth(self) -> np.ndarray | None:
        """Depth (H, W) float32 of the image's pixels along the optical axis in meters, or None.

        It is NaN where it is unknown.
        """
        return _read_or_warn(self.read_depth, f"depth of {self.name}")

    @cached_property
    def right(self) -> RightImage | None:
        """What the right camera of a stereo pair took at the same time, or None."""
        return _read_or_warn(self.read_right, f"right image of {self.name}")

    @property
    def stamp(self) -> float:
        """Time of exposure in seconds (rounded to the 0.2 microseconds of a float64)."""
        return self.stamp_ns * 1e-9

    @property
    def calibration(self) -> Calibration | None:
        """What a CameraInfo says of the camera; None if nothing is known."""
        return self.recorded if self.camera is None else self.camera.calibration

    @property
    def encoding(self) -> str:
        """ROS name of the pixel format, such as mono8, bgr16 or 32FC1.

        Raises:
            ValueError: The image has another shape or type than `image` allows.
        """
        return image_encoding(self.image)


Read = TypeVar("Read")


def _read_or_warn(read: Callable[[], Read | None], name: str) -> Read | None:
    """Return what is read beside an image; None, with a warning, if that cannot be read."""
    try:
        return read()
    except ValueError as error:
        logger.warning("%s left out: %s", name, error)
        return None


class Source(ABC):
    """A record (or a live camera) that is read frame by frame, as often as wanted.

    A frame that cannot be used (a file that does not decode, an image of another size than the
    calibration) is skipped: a warning names it, and `skipped` keeps it. Only a pass in which every
    frame was skipped is an error.

    Attributes:
        kind: Name of the source's kind, as `open_source` takes it.
        name: What was opened: a path, a device.
        camera: The calibrated camera, or None.
        skipped: (name, reason) of the frames that the latest pass left out.
    """

    kind: ClassVar[str]

    def __init__(self, name: str, camera: Camera | None = None) -> None:
        self.name = name
        self.camera = camera
        self.skipped: list[tuple[str, str]] = []

    @property
    def length(self) -> int | None:
        """Number of frames on record, unreadable ones included; None for live sources."""
        return None

    @property
    def rate(self) -> float | None:
        """Frame rate of the record in Hz; None where the record has no time."""
        return None

    @property
    def is_live(self) -> bool:
        """Whether frames come when the camera delivers them, not when they are asked for."""
        return False

    @property
    def has_depth(self) -> bool:
        """Whether there is depth on record, though perhaps not of every frame."""
        return False

    @property
    def has_right(self) -> bool:
        """Whether there are images of a right camera, though perhaps not with every frame."""
        return False

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError(f"{self.kind} source {self.name} has no known length")
        return self.length

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: int = 0, step: int = 1, count: int | None = None) -> Iterator[Frame]:
        """Every `step`-th frame from frame `start` on, at most `count` of them.

        Raises:
            ValueError: `start`, `step` or `count` is out of range, or not one frame could be used.
        """
        if start < 0 or step < 1 or (count is not None and count < 1):
            raise ValueError(
                f"start {start}, step {step}, count {count}: start is at least 0, "
                "step and count at least 1"
            )
        if self.length is not None and start >= self.length:
            raise ValueError(f"start {start} is past the end of {self.name}: {self.length} frames")
        return self._pass(start, step, count)

    def _pass(self, start: int, step: int, count: int | None) -> Iterator[Frame]:
        self.skipped = []
        delivered = 0
        for frame in islice(self._read(start, step), count):
            delivered += 1
            yield frame
        if not delivered:
            why = "; the first: {}: {}".format(*self.skipped[0]) if self.skipped else ""
            raise ValueError(f"no frame of {self.name} could be used{why}")

    @abstractmethod
    def _read(self, start: int, step: int) -> Iterator[Frame]:
        """Yield frames start, start + step, ...; call `_skip` for unusable ones."""

    def close(self) -> None:  # noqa: B027 (most sources hold nothing open)
        """Let go of files and devices. The source cannot be read afterwards."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _skip(self, name: str, reason: str) -> None:
        self.skipped.append((name, reason))
        logger.warning("%s skipped: %s", name, reason)

    def _frame(
        self,
        stamp_ns: int,
        image: np.ndarray,
        name: str,
        pose: np.ndarray | None = None,
        frame_id: str = "",
        recorded: Calibration | None = None,
        read_depth: Callable[[], np.ndarray | None] = lambda: None,
        read_right: Callable[[], RightImage | None] = lambda: None,
    ) -> Frame | None:
        """Return the frame, or None after `_skip` if the image cannot be used with the camera."""
        try:
            image_encoding(image)
        except ValueError as error:
            self._skip(name, str(error))
            return None
        height, width = image.shape[:2]
        if self.camera is not None:
            if (self.camera.width, self.camera.height) == (0, 0):
                self.camera = self.camera.with_size(width, height)
            elif (self.camera.width, self.camera.height) != (width, height):
                self._skip(
                    name,
                    f"image of {width}x{height} pixels, but the intrinsics are for "
                    f"{self.camera.width}x{self.camera.height}",
                )
                return None
        return Frame(
            stamp_ns, image, self.camera, name, pose, frame_id, recorded, read_depth, read_right
        )


def play(
    source: Source,
    *,
    start: int = 0,
    step: int = 1,
    count: int | None = None,
    again: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Frame, int]]:
    """Play a source frame by frame, as fast as they are taken.

    Args:
        source: What to play.
        start: First frame of each pass.
        step: Every `step`-th frame is played.
        count: Number of frames of each pass, or None for all.
        again: Asked at the end of each pass whether another one follows.

    Yields:
        A frame, and its stamp in nanoseconds: the recorded one in the first pass; each further
        pass goes on one frame distance after the end of the one before.

    Raises:
        ValueError: As `Source.frames`.
    """
    distance_ns = round(step * NANOSECONDS / (source.rate or USUAL_RATE))
    offset_ns = 0
    while True:
        oldest_ns = newest_ns = None
        for frame in source.frames(start, step, count):
            stamp_ns = frame.stamp_ns
            oldest_ns = stamp_ns if oldest_ns is None else min(oldest_ns, stamp_ns)
            newest_ns = stamp_ns if newest_ns is None else max(newest_ns, stamp_ns)
            yield frame, stamp_ns + offset_ns
        if oldest_ns is None or newest_ns is None or not again():
            return
        offset_ns += newest_ns - oldest_ns + distance_ns
