# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every source of frames has in common."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

import numpy as np

from ..camera import Camera
from ..pixels import image_encoding
from .frame import Frame

logger = logging.getLogger("feature_booster_ros.sources")


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
        """Frames start, start + step, ...; unusable ones are told to `_skip` instead."""

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
    ) -> Frame | None:
        """The frame, or None after `_skip` where the image cannot be used with the camera."""
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
        return Frame(stamp_ns, image, self.camera, name, pose, frame_id)
