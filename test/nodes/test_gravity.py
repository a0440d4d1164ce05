# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The direction up, from an IMU."""

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Imu
from std_msgs.msg import Header

from feature_booster_ros.nodes.coordinate_frames import level_from_base, parse_rotation
from feature_booster_ros.nodes.gravity import GravityEstimator

TURN = parse_rotation("0.2 -0.4 1.1")
"""Of the IMU in the world, whose z axis is up."""


def sample(seconds, acceleration=(0.0, 0.0, 0.0), quaternion=None):
    """An Imu, without an orientation unless there is a quaternion x, y, z, w."""
    nanoseconds = round(1e9 * seconds)
    message = Imu(header=Header(stamp=Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)))
    vector = message.linear_acceleration
    vector.x, vector.y, vector.z = map(float, acceleration)
    turn = message.orientation
    turn.x, turn.y, turn.z, turn.w = quaternion or (0.0, 0.0, 0.0, 0.0)
    return message


def quaternion_of(rotation):
    vector = cv2.Rodrigues(rotation)[0].ravel()
    angle = np.linalg.norm(vector)
    return (*np.sin(angle / 2) * vector / angle, np.cos(angle / 2))


def estimator(samples):
    result = GravityEstimator()
    for each in samples:
        result.add(each)
    return result


def test_an_orientation_tells_at_its_time():
    found = estimator([
        sample(0.0, quaternion=(0.0, 0.0, 0.0, 1.0)), sample(0.5, quaternion=quaternion_of(TURN))
    ])  # fmt: skip
    assert np.allclose(found.up(10**9 // 2), TURN[2], atol=1e-9)
    assert np.allclose(found.up(10**7), [0, 0, 1])
    assert found.up(10**9) is None


def still(rng, **change):
    values = {"gravity": 9.9, "noise": 0.05, "count": 60, "period": 0.01, **change}
    return [
        sample(
            values["period"] * number,
            values["gravity"] * TURN[2] + rng.normal(0, values["noise"], 3),
        )
        for number in range(values["count"])
    ]


def test_a_still_accelerometer_tells():
    up = estimator(still(np.random.default_rng(0))).up(0)
    assert up @ TURN[2] > np.cos(np.radians(0.2)) and np.linalg.norm(up) == pytest.approx(1)


@pytest.mark.parametrize(
    "change", [{"noise": 1.0}, {"gravity": 12.0}, {"gravity": 1.0}, {"count": 20}]
)
def test_a_moving_one_does_not(change):
    assert estimator(still(np.random.default_rng(0), **change)).up(0) is None


def test_stamps_that_go_back_begin_from_the_start():
    samples = still(np.random.default_rng(0))
    assert estimator([*samples, sample(0.0)]).up(0) is None


@pytest.mark.parametrize("up", [(0.0, 0.0, 1.0), (0.3, -0.2, 0.9), (1.0, 0.0, 0.0)])
def test_level_makes_it_the_z_axis(up):
    level = level_from_base(np.array(up))[:3, :3]
    assert np.allclose(level @ up / np.linalg.norm(up), [0, 0, 1])
    assert np.allclose(level @ level.T, np.eye(3)) and np.linalg.det(level) == pytest.approx(1)
    heading = level @ [1, 0, 0]
    assert heading[0] >= -1e-9 and abs(heading[1]) < 1e-9
