# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Convert poses of the camera's optical frame to the frames of a robot (REP 103, REP 105).

The odometry's world is the optical frame of its first image: x right, y down, z forward. ``odom``
and the robot's base have x forward, y left, z up, and ``odom`` is where the base was at the first
image. Both follow from ``base_from_optical`` (4, 4), the pose of the optical frame in the base.
"""

from __future__ import annotations

import cv2
import numpy as np

BODY_FROM_OPTICAL = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""REP 103: forward is the body's x and the optical z, left is y and -x, up is z and -y."""


def parse_pose(text: str) -> np.ndarray:
    """Return the pose (4, 4) of a text "x y z roll pitch yaw".

    As in URDF, in meters, and radians about the fixed axes x, then y, then z.

    Raises:
        ValueError: It is not six finite numbers.
    """
    try:
        values = np.array([float(word) for word in text.replace(",", " ").split()])
    except ValueError:
        values = np.zeros(0)
    if values.shape != (6,) or not np.isfinite(values).all():
        raise ValueError(
            "must be six numbers, 'x y z roll pitch yaw' in meters and radians, such as "
            f"'0.2 0 0.5 0 0.1 0', not {text!r}"
        )
    roll, pitch, yaw = (cv2.Rodrigues(vector)[0] for vector in np.diag(values[3:]))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = yaw @ pitch @ roll, values[:3]
    return pose


def parse_rotation(text: str) -> np.ndarray:
    """Return the rotation (3, 3) of a text "roll pitch yaw", as of :func:`parse_pose`.

    Raises:
        ValueError: It is not three finite numbers.
    """
    try:
        return parse_pose(f"0 0 0 {text}")[:3, :3]
    except ValueError:
        raise ValueError(
            f"must be three numbers, 'roll pitch yaw' in radians, such as '0 0 1.57', not {text!r}"
        ) from None


def level_from_base(up: np.ndarray) -> np.ndarray:
    """Return the rotation, as a pose (4, 4), that takes a direction up (3,) in the base to z.

    The base's x axis keeps its heading: it stays in the plane of x and z.
    """
    z = up / np.linalg.norm(up)
    y = np.cross(z, [1.0, 0.0, 0.0])
    if np.linalg.norm(y) < 1e-3:  # a base that looks straight up or down has no heading
        y = np.array([0.0, 1.0, 0.0])
    y = y / np.linalg.norm(y)
    pose = np.eye(4)
    pose[:3, :3] = [np.cross(y, z), y, z]
    return pose


def base_from_optical(camera_pose: np.ndarray) -> np.ndarray:
    """Return the pose (4, 4) of the optical frame in the base.

    Args:
        camera_pose: (4, 4), pose in the base of the camera's body frame, which at identity looks
            along the base's x.
    """
    return camera_pose @ BODY_FROM_OPTICAL


def to_odom(base_from_optical: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Convert poses (..., 4, 4) of the optical frame in the world to those of the base in odom."""
    return base_from_optical @ poses @ np.linalg.inv(base_from_optical)


def points_to_odom(base_from_optical: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Convert points (N, 3) of the world to odom."""
    return points @ base_from_optical[:3, :3].T + base_from_optical[:3, 3]


def covariance_to_odom(
    base_from_optical: np.ndarray, covariance: np.ndarray, pose: np.ndarray
) -> np.ndarray:
    """Return the covariance (6, 6) of the base's pose in odom's axes.

    Args:
        base_from_optical: (4, 4).
        covariance: (6, 6) of the optical frame's position and its rotation about fixed axes, in the
            world's axes.
        pose: (4, 4) of the optical frame in the world.
    """
    # Rotation of the camera moves the base, which is at the end of a lever arm.
    arm = pose[:3, :3] @ np.linalg.inv(base_from_optical)[:3, 3]
    carry = np.eye(6)
    carry[:3, 3:] = np.cross(np.eye(3), arm).T
    return rotate_covariance(base_from_optical[:3, :3], carry @ covariance @ carry.T)


def rotate_covariance(rotation: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return a covariance (6, 6) in the axes that ``rotation`` (3, 3) leads to."""
    both = np.kron(np.eye(2), rotation)
    rotated = both @ covariance @ both.T
    return (rotated + rotated.T) / 2


def twist_between(earlier: np.ndarray, later: np.ndarray, seconds: float) -> np.ndarray:
    """Return the constant twist (6,) that leads from one pose (4, 4) to another (log of SE(3)).

    Args:
        earlier: (4, 4).
        later: (4, 4).
        seconds: Between them.

    Returns:
        Linear velocity per second, then angular velocity [rad/s], in the moving frame's axes.
    """
    motion = np.linalg.inv(earlier) @ later
    turn = cv2.Rodrigues(motion[:3, :3])[0].ravel()
    angle = np.linalg.norm(turn)
    cross = np.cross(np.eye(3), turn)  # cross @ v is turn x v
    if angle < 1e-6:
        arc = np.eye(3) + cross / 2
    else:
        arc = (
            np.eye(3)
            + (1 - np.cos(angle)) / angle**2 * cross
            + (angle - np.sin(angle)) / angle**3 * cross @ cross
        )
    return np.concatenate([np.linalg.solve(arc, motion[:3, 3]), turn]) / seconds
