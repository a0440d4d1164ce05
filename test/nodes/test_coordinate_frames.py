# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Optical frame, base and odom (REP 103, REP 105), and what becomes of covariance and twist."""

import cv2
import numpy as np
import pytest

from feature_booster_ros.nodes.coordinate_frames import (
    BODY_FROM_OPTICAL,
    base_from_optical,
    covariance_to_odom,
    parse_pose,
    points_to_odom,
    rotate_covariance,
    to_odom,
    twist_between,
)
from feature_booster_ros.nodes.odometry_node_parameters import OdometryNodeParameters

CAMERA = base_from_optical(parse_pose("0.3 -0.1 0.5 0.05 0.2 -0.4"))


def rotation(*vector):
    return cv2.Rodrigues(np.array(vector, float))[0]


def moved(position, vector=(0, 0, 0)):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation(*vector), position
    return pose


@pytest.mark.parametrize(
    ("optical", "body"),
    [((0, 0, 1), (1, 0, 0)), ((-1, 0, 0), (0, 1, 0)), ((0, -1, 0), (0, 0, 1))],
    ids=["forward", "left", "up"],
)
def test_optical_axes_as_body_axes(optical, body):
    assert (BODY_FROM_OPTICAL[:3, :3] @ optical == body).all()
    pose = to_odom(base_from_optical(np.eye(4)), moved(optical))
    assert np.allclose(pose, moved(body))
    # Turning about an axis is seen as turning about the same.
    turned = to_odom(base_from_optical(np.eye(4)), moved((0, 0, 0), 0.3 * np.array(optical)))
    assert np.allclose(turned, moved((0, 0, 0), 0.3 * np.array(body)))


def test_a_turn_to_the_right_is_negative_yaw():
    # y is down in the optical frame: a positive turn about it takes z (forward) to x (right).
    pose = to_odom(base_from_optical(np.eye(4)), moved((0, 0, 0), (0, 0.5, 0)))
    assert np.arctan2(pose[1, 0], pose[0, 0]) == pytest.approx(-0.5)


def test_pose_as_in_urdf():
    assert np.allclose(parse_pose("1 2 3 0 0 0"), moved((1, 2, 3)))
    assert np.allclose(parse_pose("1, 2, 3, 0.1, 0, 0"), moved((1, 2, 3), (0.1, 0, 0)))
    pose = parse_pose("0 0 0 0.1 0.2 0.3")
    assert np.allclose(
        pose[:3, :3], rotation(0, 0, 0.3) @ rotation(0, 0.2, 0) @ rotation(0.1, 0, 0)
    )
    # A camera that is pitched by 0.2 looks down.
    assert (base_from_optical(parse_pose("0 0 0 0 0.2 0"))[:3, 2] @ [0, 0, 1]) < -0.19


@pytest.mark.parametrize("text", ["", "1 2 3", "0 0 0 0 0 nan", "0 0 0 0 0 zero", "0 0 0 0 0 0 1"])
def test_bad_camera_pose_is_refused(text):
    with pytest.raises(ValueError, match="'camera_pose' must be six numbers.*meters and radians"):
        OdometryNodeParameters(camera_pose=text)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({"base_frame": ""}, "'base_frame' must be the name of a frame"),
        ({"odom_frame": "/odom"}, "'odom_frame' must be the name of a frame, without '/'"),
        ({"odom_frame": "base_link"}, "two frames"),
    ],
)
def test_bad_frames_are_refused(frames, message):
    with pytest.raises(ValueError, match=message):
        OdometryNodeParameters(**frames)


def test_the_base_is_the_origin_at_first_and_turns_about_itself():
    assert np.allclose(to_odom(CAMERA, np.eye(4)), np.eye(4))
    # The base turns on the spot; the camera at the end of its arm is carried around.
    turn = moved((0, 0, 0), (0, 0, 0.7))
    seen = np.linalg.inv(CAMERA) @ turn @ CAMERA
    assert np.linalg.norm(seen[:3, 3]) > 0.1
    assert np.allclose(to_odom(CAMERA, seen), turn)
    many = to_odom(CAMERA, np.stack([np.eye(4), seen]))
    assert np.allclose(many, [np.eye(4), turn])


def test_points():
    point = np.array([[0.0, 0.0, 2.0]])  # two meters ahead of the camera
    assert np.allclose(points_to_odom(base_from_optical(np.eye(4)), point), [[2, 0, 0]])
    ahead = parse_pose("0.3 -0.1 0.5 0.05 0.2 -0.4") @ [2, 0, 0, 1]
    assert np.allclose(points_to_odom(CAMERA, point), [ahead[:3]])


def test_covariance_is_that_of_samples():
    """The base's scatter is what its formula says, for a camera off the base that is turned."""
    generator = np.random.default_rng(0)
    root = generator.normal(size=(6, 6)) * 1e-3
    covariance = root @ root.T
    pose = moved((1, 2, 3), (0.4, -0.2, 0.9))
    base = to_odom(CAMERA, pose)
    errors = generator.multivariate_normal(np.zeros(6), covariance, size=20_000)
    scatter = []
    for error in errors:
        noisy = pose.copy()
        noisy[:3, :3] = rotation(*error[3:]) @ pose[:3, :3]
        noisy[:3, 3] += error[:3]
        other = to_odom(CAMERA, noisy)
        turn = cv2.Rodrigues(other[:3, :3] @ base[:3, :3].T)[0].ravel()
        scatter.append(np.concatenate([other[:3, 3] - base[:3, 3], turn]))
    expected = np.cov(np.array(scatter).T)
    computed = covariance_to_odom(CAMERA, covariance, pose)
    assert np.abs(computed - expected).max() < 0.05 * np.abs(expected).max()
    assert np.allclose(computed, computed.T) and np.linalg.eigvalsh(computed).min() > 0


def test_covariance_in_other_axes():
    covariance = np.diag([1.0, 2, 3, 4, 5, 6])
    rotated = rotate_covariance(BODY_FROM_OPTICAL[:3, :3], covariance)
    assert np.allclose(np.diag(rotated), [3, 1, 2, 6, 4, 5])


def test_twist():
    # An arc: forward at 2 m/s while turning left at 0.5 rad/s.
    radius, angle = 2 / 0.5, 0.5 * 0.8
    arc = moved((radius * np.sin(angle), radius * (1 - np.cos(angle)), 0), (0, 0, angle))
    start = moved((5, -3, 1), (0.3, 0.1, 2))
    assert np.allclose(twist_between(start, start @ arc, 0.8), [2, 0, 0, 0, 0, 0.5])
    straight = twist_between(start, start @ moved((0.1, 0.2, 0.3)), 0.1)
    assert np.allclose(straight, [1, 2, 3, 0, 0, 0])
    assert np.allclose(twist_between(start, start, 0.1), 0)
