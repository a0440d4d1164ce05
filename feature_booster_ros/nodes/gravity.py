# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The direction up, from an IMU, so that odom's z axis can be made to point there."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
from rclpy.time import Time
from sensor_msgs.msg import Imu

from feature_booster_ros.stamps import NANOSECONDS

_KEPT_SECONDS = 1.0
"""Time that samples are kept [s]."""
_MAX_OFFSET = 0.1
"""Largest difference of the stamps of an orientation and a frame [s]."""
_STILL_SECONDS = 0.4
"""Least time that an accelerometer without orientation has to be still [s]."""
_MIN_SAMPLES = 10
"""Least number of samples in this time."""
_GRAVITY = 9.80665
"""Standard acceleration of free fall [m/s^2]."""
_MAX_DEVIATION = 0.5
"""Largest difference of a still accelerometer's mean from gravity [m/s^2], its bias."""
_MAX_NOISE = 0.3
"""Largest standard deviation of a still accelerometer, of each axis [m/s^2]."""


class GravityEstimator:
    """Estimate the direction up in an IMU's frame: its orientation, else its still accelerometer.

    REP 145: orientations are against a world whose z axis is up, and an accelerometer at rest
    measures the acceleration upwards that holds it against gravity. Safe for threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: deque[tuple[int, np.ndarray | None, np.ndarray]] = deque()

    def add(self, message: Imu) -> None:
        """Add a sample; one that does not follow the last begins from the start."""
        stamp = Time.from_msg(message.header.stamp).nanoseconds
        acceleration = message.linear_acceleration
        sample = (
            stamp,
            _up_of_orientation(message),
            np.array([acceleration.x, acceleration.y, acceleration.z]),
        )
        with self._lock:
            if self._samples and stamp <= self._samples[-1][0]:
                self._samples.clear()
            self._samples.append(sample)
            while stamp - self._samples[0][0] > _KEPT_SECONDS * NANOSECONDS:
                self._samples.popleft()

    def up(self, stamp: int) -> np.ndarray | None:
        """Return the unit vector up (3,) in the IMU's frame at a time [ns], or None if unknown."""
        with self._lock:
            samples = list(self._samples)
        ups = [(abs(time - stamp), up) for time, up, _ in samples if up is not None]
        if ups:
            offset, up = min(ups, key=lambda each: each[0])
            return up if offset <= _MAX_OFFSET * NANOSECONDS else None
        if (
            len(samples) < _MIN_SAMPLES
            or samples[-1][0] - samples[0][0] < _STILL_SECONDS * NANOSECONDS
        ):
            return None
        accelerations = np.stack([acceleration for _, _, acceleration in samples])
        mean = accelerations.mean(axis=0)
        length = float(np.linalg.norm(mean))
        is_still = accelerations.std(axis=0).max() <= _MAX_NOISE
        return mean / length if is_still and abs(length - _GRAVITY) <= _MAX_DEVIATION else None


def _up_of_orientation(message: Imu) -> np.ndarray | None:
    """Return the world's z axis in the IMU's frame (3,), or None without an orientation."""
    q = message.orientation
    # sensor_msgs/Imu: -1 says that there is none. Some drivers leave the quaternion zero instead.
    if (
        message.orientation_covariance[0] < 0
        or not abs(q.x**2 + q.y**2 + q.z**2 + q.w**2 - 1) < 0.01
    ):
        return None
    return np.array([
        2 * (q.x * q.z - q.w * q.y), 2 * (q.y * q.z + q.w * q.x), 1 - 2 * (q.x**2 + q.y**2)
    ])  # fmt: skip
