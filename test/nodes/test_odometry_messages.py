# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses, trajectories and landmarks as messages."""

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

from feature_booster_ros.nodes.odometry_messages import (
    quaternions,
    to_odometry,
    to_path,
    to_point_cloud,
    to_transform,
)

HEADER = Header(stamp=Time(sec=3, nanosec=4), frame_id="odom")
TURN = np.array([0.3, -0.5, 1.2])


def pose(position, vector=TURN):
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = cv2.Rodrigues(np.array(vector, float))[0], position
    return result


def test_quaternions():
    axes = np.concatenate([np.eye(3), -np.eye(3), np.random.default_rng(0).normal(size=(20, 3))])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    for angle in (0.0, 1e-9, 0.5, 2.0, np.pi - 1e-7, np.pi):
        rotations = np.array([cv2.Rodrigues(angle * axis)[0] for axis in axes])
        expected = np.column_stack(
            [np.sin(angle / 2) * axes, np.full(len(axes), np.cos(angle / 2))]
        )
        found = quaternions(rotations)
        # q and -q are the same rotation.
        assert np.allclose(np.abs((found * expected).sum(axis=1)), 1, atol=1e-12)
        assert (found[:, 3] >= 0).all()
    assert quaternions(np.zeros((0, 3, 3))).shape == (0, 4)


def test_odometry_and_transform():
    covariance, other = np.arange(36.0).reshape(6, 6), np.eye(6)
    message = to_odometry(HEADER, "base_link", pose((1, 2, 3)), covariance, np.arange(6.0), other)
    transform = to_transform(HEADER, "base_link", pose((1, 2, 3)))
    for each in (message, transform):
        assert (each.header, each.child_frame_id) == (HEADER, "base_link")
    angle = np.linalg.norm(TURN)
    quaternion = [*np.sin(angle / 2) * TURN / angle, np.cos(angle / 2)]
    for place, turn in (
        (message.pose.pose.position, message.pose.pose.orientation),
        (transform.transform.translation, transform.transform.rotation),
    ):
        assert (place.x, place.y, place.z) == (1, 2, 3)
        assert np.allclose([turn.x, turn.y, turn.z, turn.w], quaternion)
    assert (message.pose.covariance == np.arange(36)).all()
    linear, angular = message.twist.twist.linear, message.twist.twist.angular
    assert (linear.x, linear.y, linear.z, angular.x, angular.y, angular.z) == (0, 1, 2, 3, 4, 5)
    assert (np.reshape(message.twist.covariance, (6, 6)) == other).all()


def test_path():
    message = to_path(
        HEADER, [1_500_000_000_000_000_001, 2], np.stack([pose((1, 2, 3)), pose((4, 5, 6))])
    )
    assert message.header == HEADER
    first, second = message.poses
    assert (first.header.stamp.sec, first.header.stamp.nanosec) == (1_500_000_000, 1)
    assert (first.header.frame_id, second.pose.position.y) == ("odom", 5.0)
    assert to_path(HEADER, [], np.zeros((0, 4, 4))).poses == []


def test_point_cloud():
    points = np.random.default_rng(0).normal(size=(7, 3))
    message = to_point_cloud(HEADER, points, np.arange(7))
    assert (message.height, message.width, message.point_step, message.row_step) == (1, 7, 20, 140)
    assert message.is_dense and not message.is_bigendian
    assert [(f.name, f.offset, f.datatype, f.count) for f in message.fields] == [
        (name, 4 * place, PointField.FLOAT32, 1)
        for place, name in enumerate(("x", "y", "z", "intensity", "rgb"))
    ]
    rows = np.frombuffer(message.data, "<f4").reshape(7, 5)
    colors = rows[:, 4].copy().view(np.uint8).reshape(7, 4)  # blue, green, red, 0
    assert colors[points[:, 2].argmax()].argmax() == 2 and not colors[:, 3].any()
    assert colors[points[:, 2].argmin()].argmax() == 0
    assert np.allclose(rows[:, :3], points, atol=1e-6) and (rows[:, 3] == np.arange(7)).all()
    empty = to_point_cloud(HEADER, np.zeros((0, 3)), np.zeros(0))
    assert (empty.width, len(empty.data)) == (0, 0)
