# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The features of one frame of a stream, and how each frame follows the one before."""

from __future__ import annotations

from dataclasses import dataclass

from ..camera import Camera
from ..stamps import JUMP_BACK, UNUSABLE, Order, StampWatch
from .types import Features


@dataclass(frozen=True, eq=False)
class FeatureFrame:
    """The features of one image of a stream, and what is known of its camera.

    Attributes:
        features: Of the image.
        camera: Intrinsics, or None if they are unknown.
        width: Of the image [px].
        height: Of the image [px].
        stamp_ns: Time of the image [ns].
        frame_id: Coordinate frame of the camera; another one is another camera.
        detector: Name of the extractor.
        model: Name of the model that boosted the descriptors, or "none".
    """

    features: Features
    camera: Camera | None
    width: int
    height: int
    stamp_ns: int
    frame_id: str
    detector: str
    model: str

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image [px]."""
        return self.height, self.width

    @property
    def descriptors(self) -> str:
        """Kind of the descriptors in words; only frames of one kind can be matched."""
        unit = "bits" if self.features.is_binary else "floats"
        return f"{self.detector} {self.model} of {self.features.descriptor_length} {unit}"

    def difference_from(self, other: FeatureFrame) -> str:
        """Return why the two frames cannot be of one stream; empty if they can."""
        if self.descriptors != other.descriptors:
            return f"descriptors changed from {other.descriptors} to {self.descriptors}"
        if self.frame_id != other.frame_id:
            return f"the camera changed from {other.frame_id!r} to {self.frame_id!r}"
        return ""


class Continuity:
    """Judge how each frame of a stream follows the one before.

    Args:
        stamps: Judges the stamps. It also reports where the stream restarts with another camera or
            another kind of descriptors.
    """

    def __init__(self, stamps: StampWatch) -> None:
        self._stamps = stamps
        self._last: FeatureFrame | None = None

    def reset(self) -> None:
        """Forget the last frame; the next one may have any stamp."""
        self._last = None
        self._stamps.reset()

    def add(self, frame: FeatureFrame, jump_back: float = JUMP_BACK) -> Order:
        """Return how a frame follows the last one.

        Args:
            frame: The next frame as it arrived.
            jump_back: Where a stamp goes back by more than this [s], the stream restarts.

        Returns:
            RESTARTED if the frame has nothing to do with those before, one of ``UNUSABLE`` if its
            stamp does not rise, else RISING.
        """
        reason = "" if self._last is None else frame.difference_from(self._last)
        if reason:
            self._stamps.restart(frame.stamp_ns, reason)
            order = Order.RESTARTED
        else:
            order = self._stamps.add(frame.stamp_ns, jump_back)
        if order not in UNUSABLE:
            self._last = frame
        return order
