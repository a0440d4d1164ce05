# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rigid motions as (4, 4) matrices."""

from __future__ import annotations

import cv2
import numpy as np


def make_transform(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Return the (4, 4) matrix of a rotation (3, 3) and a translation (3,)."""
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = rotation, np.ravel(translation)
    return result


def inverse(transform: np.ndarray) -> np.ndarray:
    """Return the inverse of a rigid motion (4, 4)."""
    result = np.eye(4)
    result[:3, :3] = transform[:3, :3].T
    result[:3, 3] = -transform[:3, :3].T @ transform[:3, 3]
    return result


def camera_center(pose: np.ndarray) -> np.ndarray:
    """Return the position (3,) in the world of a camera whose pose (4, 4) is world to camera."""
    return -pose[:3, :3].T @ pose[:3, 3]


def transform_points(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return points (N, 3) moved by a rigid motion (4, 4)."""
    return points @ transform[:3, :3].T + transform[:3, 3]


def rotation_matrix(rotation_vector: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) of a rotation vector (3,): axis times angle [rad] (Rodrigues)."""
    return cv2.Rodrigues(np.asarray(rotation_vector, np.float64))[0]


def rotation_angle(motion: np.ndarray) -> float:
    """Return the angle of rotation of a motion (4, 4) [rad]."""
    return float(np.linalg.norm(cv2.Rodrigues(motion[:3, :3])[0]))


def scale_motion(motion: np.ndarray, factor: float) -> np.ndarray:
    """Return the motion (4, 4) over ``factor`` times the time, at constant velocity."""
    rotation_vector = cv2.Rodrigues(motion[:3, :3])[0].ravel()
    return make_transform(rotation_matrix(factor * rotation_vector), factor * motion[:3, 3])


def rescale_pose(pose: np.ndarray, factor: float, about: np.ndarray) -> np.ndarray:
    """Return a pose (4, 4), world to camera, in the world scaled about a fixed point (3,)."""
    center = about + factor * (camera_center(pose) - about)
    return make_transform(pose[:3, :3], -pose[:3, :3] @ center)


def cross_matrix(vector: np.ndarray) -> np.ndarray:
    """Return the (3, 3) matrix with ``cross_matrix(a) @ b`` the cross product of a and b."""
    x, y, z = vector
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float64)
