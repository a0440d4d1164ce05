# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rigid motions as (4, 4) matrices."""

from __future__ import annotations

import cv2
import numpy as np


def inverse(transform: np.ndarray) -> np.ndarray:
    """The inverse of a rigid motion (4, 4)."""
    result = np.eye(4)
    result[:3, :3] = transform[:3, :3].T
    result[:3, 3] = -transform[:3, :3].T @ transform[:3, 3]
    return result


def rigid(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(4, 4) from a rotation (3, 3) and a translation (3,)."""
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = rotation, np.ravel(translation)
    return result


def transformed(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 3) moved by (4, 4)."""
    return points @ transform[:3, :3].T + transform[:3, 3]


def rotation_of(vector: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) about an axis by the length of ``vector`` (3,) in radians (Rodrigues)."""
    return cv2.Rodrigues(np.asarray(vector, np.float64))[0]


def rotation_angle(motion: np.ndarray) -> float:
    """Angle in radians by which a motion (4, 4) turns."""
    return float(np.linalg.norm(cv2.Rodrigues(motion[:3, :3])[0]))


def fraction_of(motion: np.ndarray, share: float) -> np.ndarray:
    """A motion (4, 4) carried on at its speed for ``share`` of its time."""
    turn = cv2.Rodrigues(motion[:3, :3])[0].ravel()
    return rigid(rotation_of(share * turn), share * motion[:3, 3])


def cross_matrix(vector: np.ndarray) -> np.ndarray:
    """(3, 3) with ``cross_matrix(a) @ b`` the cross product of a and b."""
    x, y, z = vector
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float64)
