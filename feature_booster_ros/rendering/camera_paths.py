# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the camera of a rendered sequence is, at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Waypoint:
    """A pose to pass at a time.

    Attributes:
        time: Time in seconds.
        position: x right, y down, z ahead of the start, in meters.
        yaw: Turn to the right in degrees.
        pitch: Turn upwards in degrees.
        roll: Turn about the optical axis in degrees.
    """

    time: float
    position: tuple[float, float, float]
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


class CameraPath:
    """A smooth flight through waypoints, to and fro without end.

    Positions and angles are cubic Hermite splines in time whose slopes are those of a parabola
    through the neighbors (Catmull-Rom with unequal spacing); at both ends the camera rests.

    Raises:
        ValueError: there are fewer than two waypoints, or their times do not increase.
    """

    def __init__(self, waypoints: Sequence[Waypoint]) -> None:
        self._times = np.array([w.time for w in waypoints], np.float64)
        if len(waypoints) < 2 or (np.diff(self._times) <= 0).any():
            raise ValueError(
                "a camera path needs two waypoints or more at increasing times, "
                f"not times {self._times.tolist()}"
            )
        self._values = np.array(
            [(*w.position, *np.deg2rad((w.yaw, w.pitch, w.roll))) for w in waypoints], np.float64
        )
        steps = np.diff(self._times)[:, None]
        secants = np.diff(self._values, axis=0) / steps
        self._slopes = np.zeros_like(self._values)
        self._slopes[1:-1] = (secants[:-1] * steps[1:] + secants[1:] * steps[:-1]) / (
            steps[:-1] + steps[1:]
        )

    @property
    def duration(self) -> float:
        """How long one way takes, seconds."""
        return float(self._times[-1] - self._times[0])

    def pose(self, time: float) -> np.ndarray:
        """Give the camera-to-world pose (4, 4) at `time` seconds after the first waypoint."""
        since = time % (2 * self.duration)
        since = self._times[0] + min(since, 2 * self.duration - since)
        i = int(np.clip(np.searchsorted(self._times, since, "right") - 1, 0, len(self._times) - 2))
        step = self._times[i + 1] - self._times[i]
        s = (since - self._times[i]) / step
        value = (
            (1 + 2 * s) * (1 - s) ** 2 * self._values[i]
            + s * (1 - s) ** 2 * step * self._slopes[i]
            + s * s * (3 - 2 * s) * self._values[i + 1]
            + s * s * (s - 1) * step * self._slopes[i + 1]
        )
        pose = np.eye(4)
        pose[:3, :3] = rotation(*value[3:])
        pose[:3, 3] = value[:3]
        return pose


def walk_through() -> CameraPath:
    """Give the demo's flight through the default gallery, 12 s one way.

    It sets off ahead, swerves from side to side, looks at a wall while it rolls, rushes ahead,
    turns about in a second at the end wall, comes back, turns again, and banks past the pictures.
    """
    return CameraPath(
        [
            Waypoint(0.0, (0.0, 0.0, 0.0)),
            Waypoint(0.7, (0.0, -0.05, 1.0), yaw=2, pitch=1),
            Waypoint(1.3, (-0.7, 0.1, 1.9), yaw=10, pitch=-2, roll=-3),
            Waypoint(2.0, (0.7, 0.0, 3.0), yaw=-15, roll=8),
            Waypoint(2.6, (0.4, -0.1, 5.0), yaw=-45, pitch=3, roll=25),
            Waypoint(3.1, (-0.3, 0.1, 7.4), yaw=-5, pitch=-5, roll=-10),
            Waypoint(3.5, (-0.2, 0.1, 8.8), yaw=50, roll=-5),
            Waypoint(4.0, (0.2, 0.0, 9.2), yaw=115, pitch=2),
            Waypoint(4.5, (0.4, 0.0, 8.6), yaw=170, pitch=2),
            Waypoint(5.2, (-0.4, 0.1, 6.5), yaw=195, roll=12),
            Waypoint(6.0, (0.3, -0.1, 4.0), yaw=170),
            Waypoint(7.0, (-0.2, 0.0, 1.6), yaw=185, roll=-8),
            Waypoint(7.8, (0.0, 0.1, 0.2), yaw=250),
            Waypoint(8.6, (0.1, 0.0, 0.3), yaw=320, pitch=4),
            Waypoint(9.3, (0.0, 0.0, 1.6), yaw=365, roll=15),
            Waypoint(10.2, (-0.5, -0.1, 3.6), yaw=400, roll=35),
            Waypoint(11.1, (0.4, 0.1, 5.8), yaw=370, pitch=-8),
            Waypoint(12.0, (0.0, 0.0, 7.6), yaw=350),
        ]
    )


def random_path(
    seed: int, aisle: float = 0.8, ahead: float = 10.0, duration: float = 6.0
) -> CameraPath:
    """Give a flight with turns drawn at random that stays within `aisle` of the middle.

    Args:
        seed: Seed of the path.
        aisle: Largest distance to either side in meters.
        ahead: Distance along z in meters.
        duration: Duration of one way in seconds.
    """
    rng = np.random.default_rng([seed, 2])
    count = 8
    # Unequal shares make slow and fast parts.
    share = np.cumsum(np.append(0, rng.uniform(0.3, 1.7, count - 1)))
    z = ahead * share / share[-1]
    return CameraPath(
        [
            Waypoint(
                duration * i / (count - 1),
                (rng.uniform(-aisle, aisle), rng.uniform(-0.3, 0.3), z[i]),
                yaw=rng.uniform(-50, 50),
                pitch=rng.uniform(-10, 10),
                roll=rng.uniform(-30, 30),
            )
            for i in range(count)
        ]
    )


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Turn camera axes into world axes, (3, 3): roll about z, then pitch about x, then yaw about y.

    All three in radians, signed as those of a :class:`Waypoint`.
    """
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z
