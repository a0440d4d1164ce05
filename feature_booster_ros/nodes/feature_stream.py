# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A stream of FeatureArrays as the odometry's sequence of frames.

The odometry takes frames of one camera and one kind of descriptor, with rising stamps. A topic
brings what it brings: stamps twice or out of order, a bag that begins anew, another camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger
from std_msgs.msg import Header

from feature_booster_ros.camera import Camera
from feature_booster_ros.features import Features
from feature_booster_ros.msg import FeatureArray
from feature_booster_ros.odometry import Estimate, Landmarks, OdometrySettings, VisualOdometry
from feature_booster_ros.stamps import UNUSABLE, Order

from .camera_info import CameraInfoError, camera_of
from .diagnostics import StampMonitor
from .messages import from_feature_array, stamp_of


@dataclass(frozen=True, eq=False)
class FeatureFrame:
    """The features of one image, and its camera."""

    header: Header
    features: Features
    camera: Camera
    kind: tuple[str, str, int, int]
    """Detector, model, descriptor type and length: only frames of one kind can be matched."""

    @property
    def stamp(self) -> int:
        """Nanoseconds."""
        return stamp_of(self)

    @property
    def descriptors(self) -> str:
        """The kind in words."""
        detector, model, _, length = self.kind
        return f"{detector} {model} of {length} {'bits' if self.features.is_binary else 'floats'}"


class FeatureStream:
    """The odometry along a stream. Begins anew, and says why, where a frame cannot follow the last.

    Not safe for threads.

    Args:
        settings: of the odometry.
        logger: that is told of changes.
        stamps: judges the frames' stamps.
    """

    def __init__(
        self, settings: OdometrySettings, logger: RcutilsLogger, stamps: StampMonitor
    ) -> None:
        self._stamps = stamps
        self._settings = settings
        self._logger = logger
        self._odometry: VisualOdometry | None = None
        self._camera: Camera | None = None
        self._last: FeatureFrame | None = None
        self._origin = 0  # the first frame's stamp: as seconds, stamps since then are exact
        self.resets = 0
        """How often it has begun anew."""

    @property
    def descriptors(self) -> str:
        """The kind of the last frame's, in words."""
        return "" if self._last is None else self._last.descriptors

    @staticmethod
    def read(message: FeatureArray) -> FeatureFrame:
        """The frame in a message.

        Raises:
            CameraInfoError: it has no intrinsics.
            ValueError: a field is not valid; the message names it.
        """
        camera = camera_of(message.camera_info)
        if camera is None:
            raise CameraInfoError(
                "FeatureArray.camera_info has no intrinsics (k is zero), which the odometry needs: "
                "have booster_node take camera_info (use_camera_info: true), and calibrate the "
                "camera if its driver publishes none"
            )
        return FeatureFrame(
            message.header,
            from_feature_array(message),
            camera,
            (message.detector, message.model, message.descriptor_type, message.descriptor_length),
        )

    def reset(self) -> None:
        """Forgets everything; the next frame is the origin."""
        self._odometry = self._camera = self._last = None
        self._stamps.reset()
        self.resets += 1

    def track(self, frame: FeatureFrame, jump_back: float) -> Estimate | None:
        """The estimate of a frame, its stamp in seconds since the first; None where it is left out,
        since its stamp is not after the last.

        Args:
            frame: of the stream.
            jump_back: a stamp that goes back by more seconds begins anew.

        Raises:
            ValueError: the intrinsics are not valid; the frame has been left out.
        """
        reason = "" if self._last is None else self._break_before(frame)
        if reason:
            self._logger.warning(
                f"{reason}: starting anew, this frame is the origin", throttle_duration_sec=5.0
            )
            self.reset()
        order = self._stamps.add(frame.stamp, jump_back)
        if order in UNUSABLE:
            return None
        if order is Order.RESTARTED:
            self.reset()
            self._stamps.add(frame.stamp)
        self._take_camera(frame)
        if self._last is None:
            self._origin = frame.stamp
        estimate = self._odometry.track(frame.features, (frame.stamp - self._origin) * 1e-9)
        self._last = frame
        return estimate

    def trajectory(self) -> tuple[list[int], np.ndarray]:
        """Stamps in nanoseconds and poses (N, 4, 4) of the optical frame in the world, as refined
        since.
        """
        trajectory = [] if self._odometry is None else self._odometry.trajectory()
        stamps = [self._origin + round(seconds * 1e9) for seconds, _ in trajectory]
        return stamps, np.array([pose for _, pose in trajectory]).reshape(-1, 4, 4)

    def landmarks(self) -> Landmarks:
        """The landmarks in the world."""
        if self._odometry is None:
            return Landmarks(np.zeros((0, 3)), np.zeros(0, np.int64))
        return self._odometry.landmarks()

    def _break_before(self, frame: FeatureFrame) -> str:
        """Why the frame cannot follow the last one; empty if it can."""
        last = self._last
        if frame.header.frame_id != last.header.frame_id:
            before, now = last.header.frame_id, frame.header.frame_id
            return f"the camera changed from {before!r} to {now!r}"
        if frame.kind != last.kind:
            return f"descriptors changed from {last.descriptors} to {frame.descriptors}"
        return ""

    def _take_camera(self, frame: FeatureFrame) -> None:
        """Has the odometry take the frame as from its camera."""
        camera = frame.camera
        arguments = camera.matrix, camera.distortion, camera.model
        if self._odometry is None:
            self._odometry = VisualOdometry(*arguments, self._settings)
        elif not _same(camera, self._camera):
            self._odometry.set_camera(*arguments)
            self._logger.info("the camera's intrinsics changed: the map is kept")
        self._camera = camera


def _same(a: Camera, b: Camera) -> bool:
    return (
        a.model == b.model
        and np.array_equal(a.matrix, b.matrix)
        and np.array_equal(a.distortion, b.distortion)
    )
