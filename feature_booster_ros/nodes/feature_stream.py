# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run the odometry along a stream of frames that may restart.

The odometry takes frames of one camera and one kind of descriptors, with rising stamps. On a topic,
stamps repeat or come out of order, bags are played again, and cameras change.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np

from feature_booster_ros.camera import Camera
from feature_booster_ros.features import Continuity, FeatureFrame
from feature_booster_ros.odometry import Estimate, Landmarks, OdometrySettings, VisualOdometry
from feature_booster_ros.stamps import NANOSECONDS, UNUSABLE, Order, StampWatch


class FeatureStream:
    """Odometry that starts again, and reports why, where a frame cannot follow the last one.

    Not safe for threads.

    Args:
        settings: Of the odometry.
        stamps: Judges the frames' stamps, and reports restarts.
        inform: Takes a line about a change that is no restart.
        executor: Maps keyframes while the next frames are tracked; None to map them first.
    """

    def __init__(
        self,
        settings: OdometrySettings,
        stamps: StampWatch,
        inform: Callable[[str], None],
        executor: Executor | None = None,
    ) -> None:
        self._settings = settings
        self._executor = executor
        self._continuity = Continuity(stamps)
        self._inform = inform
        self._odometry: VisualOdometry | None = None
        self._camera: Camera | None = None
        # Stamp of the first frame [ns]: seconds since then are exact in float64.
        self._origin = 0
        self.descriptors = ""
        """Kind of the last frame's descriptors, in words."""
        self.resets = 0
        """How often it has started again."""

    def reset(self) -> None:
        """Forget everything; the next frame is the origin."""
        self._odometry = self._camera = None
        self._continuity.reset()
        self.descriptors = ""
        self.resets += 1

    def track(self, frame: FeatureFrame, jump_back: float) -> tuple[Order, Estimate | None]:
        """Return how a frame follows the last one, and its estimate.

        The estimate's stamp is in seconds since the first frame. It is None where the frame is left
        out, since its stamp does not rise.

        Args:
            frame: The next one of the stream, with a camera.
            jump_back: A stamp that goes back by more than this restarts the stream [s].

        Raises:
            ValueError: The frame has no valid intrinsics; it is left out.
        """
        if frame.camera is None:
            raise ValueError("the odometry needs intrinsics")
        order = self._continuity.add(frame, jump_back)
        if order in UNUSABLE:
            return order, None
        if order is Order.RESTARTED:
            self._odometry = self._camera = None
            self.resets += 1
        odometry = self._take_camera(frame.camera, frame.stamp_ns)
        seconds = (frame.stamp_ns - self._origin) / NANOSECONDS
        estimate = odometry.track(frame.features, seconds)
        self.descriptors = frame.descriptors
        return order, estimate

    @property
    def is_mapping(self) -> bool:
        """Whether a keyframe is being mapped."""
        return self._odometry is not None and self._odometry.is_mapping

    def finish_mapping(self) -> None:
        """Wait until the last keyframe is in the map."""
        if self._odometry is not None:
            self._odometry.finish_mapping()

    def trajectory(self) -> tuple[list[int], np.ndarray]:
        """Return the refined trajectory.

        Returns:
            Stamps [ns], and poses (N, 4, 4) of the optical frame in the world.
        """
        trajectory = [] if self._odometry is None else self._odometry.trajectory()
        stamps = [self._origin + round(seconds * NANOSECONDS) for seconds, _ in trajectory]
        return stamps, np.array([pose for _, pose in trajectory]).reshape(-1, 4, 4)

    def landmarks(self) -> Landmarks:
        """Return the landmarks in the world."""
        if self._odometry is None:
            return Landmarks(np.zeros((0, 3)), np.zeros(0, np.int64))
        return self._odometry.landmarks()

    def _take_camera(self, camera: Camera, stamp_ns: int) -> VisualOdometry:
        """Return the odometry, with the frame's camera; a new one for the first frame."""
        distortion = np.asarray(camera.distortion)
        if self._odometry is None or self._camera is None:
            self._odometry = VisualOdometry(
                camera.matrix, distortion, camera.model, self._settings, self._executor
            )
            self._origin = stamp_ns
        elif not _same(camera, self._camera):
            self._odometry.set_camera(camera.matrix, distortion, camera.model)
            self._inform("the camera's intrinsics changed: the map is kept")
        self._camera = camera
        return self._odometry


def _same(a: Camera, b: Camera) -> bool:
    return (
        a.model == b.model
        and np.array_equal(a.matrix, b.matrix)
        and np.array_equal(a.distortion, b.distortion)
    )
