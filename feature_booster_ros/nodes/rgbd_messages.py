# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features as RTAB-Map's messages (rtabmap_msgs of rtabmap_ros)."""

from __future__ import annotations

import array
import importlib
import zlib
from types import ModuleType

import cv2
import numpy as np

from feature_booster_ros.camera import Camera
from feature_booster_ros.features import Features

_FAST = 1  # zlib's level; higher ones take longer than to send what they save.
_SIFT_SIZE, _ORB_SIZE = 2.0, 31.0  # OpenCV's size of a keypoint of scale 1 [px].


def import_rtabmap_msgs() -> ModuleType:
    """Return the module ``rtabmap_msgs.msg``.

    Raises:
        ValueError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module("rtabmap_msgs.msg")
    except ImportError as error:
        raise ValueError(
            f"RTAB-Map's messages are missing ({error}): sudo apt install "
            "ros-$ROS_DISTRO-rtabmap-msgs, and source the distribution again"
        ) from error


def to_key_points(features: Features, detector: str, messages: ModuleType) -> list:
    """Return a list of N rtabmap_msgs/KeyPoint, which have the fields of OpenCV's.

    Args:
        features: N features.
        detector: Name of the extractor, which tells the unit of the scales.
        messages: See :func:`import_rtabmap_msgs`.
    """
    unit = _ORB_SIZE if detector == "orb" else _SIFT_SIZE
    columns = (
        *features.keypoints.T,
        features.scales * unit,
        np.rad2deg(features.angles),
        features.scores,
    )
    rows = zip(*(column.astype(float).tolist() for column in columns), strict=True)
    return [
        messages.KeyPoint(
            pt=messages.Point2f(x=x, y=y),
            size=size,
            angle=angle,
            response=score,
            octave=0,
            class_id=-1,
        )
        for x, y, size, angle, score in rows
    ]


def to_points(features: Features, camera: Camera, messages: ModuleType) -> list:
    """Return a list of N rtabmap_msgs/Point3f in the camera's optical frame [m].

    A point is NaN where its depth is unknown, and the list is empty where no feature has a depth.

    Args:
        features: N features.
        camera: Of their image.
        messages: See :func:`import_rtabmap_msgs`.
    """
    if features.depths is None:
        return []
    depths = features.depths.astype(float)
    x, y = (camera.rays(features.keypoints) * depths[:, None]).T
    rows = zip(x.tolist(), y.tolist(), depths.tolist(), strict=True)
    return [messages.Point3f(x=x, y=y, z=z) for x, y, z in rows]


def compress_matrix(matrix: np.ndarray) -> array.array:
    """Return a matrix as rtabmap::compressData packs it.

    That is zlib's bytes of the rows, followed by rows, columns and OpenCV's type as int32.

    Args:
        matrix: (N, D) float32 or uint8; none of N and D is 0.
    """
    kind = {np.dtype(np.float32): cv2.CV_32F, np.dtype(np.uint8): cv2.CV_8U}[matrix.dtype]
    footer = np.array([*matrix.shape, kind], np.int32)
    rows = np.ascontiguousarray(matrix)
    return array.array("B", zlib.compress(rows.tobytes(), _FAST) + footer.tobytes())
