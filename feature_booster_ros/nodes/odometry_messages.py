# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Convert poses, trajectories and landmarks to messages."""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, TransformStamped, Vector3
from nav_msgs.msg import Odometry, Path
from rclpy.time import Time
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from feature_booster_ros.colors import color_by_height

_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4"), ("rgb", "<u4")])
"""A point of a cloud. PCL, RViz and Foxglove take 0x00RRGGBB in a float32 called rgb as its color.
"""


def quaternions(rotations: np.ndarray) -> np.ndarray:
    """Return unit quaternions (N, 4), in ROS's order x, y, z, w, with w >= 0, of (N, 3, 3)."""
    r = np.moveaxis(rotations, 0, -1)
    x, y, z = r[0, 0], r[1, 1], r[2, 2]
    # 4 q q^T, symmetric. Its row with the largest diagonal is q, well conditioned (Shepperd).
    products = np.array(
        [
            [1 + x - y - z, r[1, 0] + r[0, 1], r[0, 2] + r[2, 0], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], 1 - x + y - z, r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[0, 2] + r[2, 0], r[2, 1] + r[1, 2], 1 - x - y + z, r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1 + x + y + z],
        ]
    )
    largest = np.argmax(np.einsum("iin->in", products), axis=0)
    rows = products[largest, :, np.arange(len(rotations))]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(rows[:, 3:] < 0, -rows, rows)


def to_odometry(
    header: Header,
    child_frame_id: str,
    pose: np.ndarray,
    covariance: np.ndarray,
    twist: np.ndarray,
    twist_covariance: np.ndarray,
) -> Odometry:
    """Return a message with a pose and a velocity.

    Args:
        header: Stamp of the frame, and the frame in which the pose is.
        child_frame_id: The frame whose pose it is, and in which the twist is.
        pose: (4, 4).
        covariance: (6, 6) of x, y, z and the rotation about fixed x, y, z, in the header's frame.
        twist: (6,) linear, then angular velocity [m/s, rad/s].
        twist_covariance: (6, 6).
    """
    message = Odometry(header=header, child_frame_id=child_frame_id)
    message.pose.pose = _to_pose(pose[:3, 3], quaternions(pose[None, :3, :3])[0])
    message.pose.covariance = np.ravel(covariance)
    message.twist.twist.linear = _to_vector(twist[:3])
    message.twist.twist.angular = _to_vector(twist[3:])
    message.twist.covariance = np.ravel(twist_covariance)
    return message


def to_transform(header: Header, child_frame_id: str, pose: np.ndarray) -> TransformStamped:
    """Return a pose (4, 4) of the child frame in the header's frame as a transform for TF."""
    message = TransformStamped(header=header, child_frame_id=child_frame_id)
    message.transform.translation = _to_vector(pose[:3, 3])
    message.transform.rotation = _to_quaternion(quaternions(pose[None, :3, :3])[0])
    return message


def to_path(header: Header, stamps: Sequence[int], poses: np.ndarray) -> Path:
    """Return a trajectory as a message.

    Args:
        header: Of the message; all poses are in its frame.
        stamps: N, of the poses [ns].
        poses: (N, 4, 4).
    """
    return Path(
        header=header,
        poses=[
            PoseStamped(
                header=Header(frame_id=header.frame_id, stamp=Time(nanoseconds=stamp).to_msg()),
                pose=_to_pose(position, quaternion),
            )
            for stamp, position, quaternion in zip(
                stamps, poses[:, :3, 3], quaternions(poses[:, :3, :3]), strict=True
            )
        ],
    )


def to_point_cloud(header: Header, points: np.ndarray, intensities: np.ndarray) -> PointCloud2:
    """Return points (N, 3) with intensities (N,), colored by z."""
    rows = np.empty(len(points), _POINT)
    rows["x"], rows["y"], rows["z"] = points.T
    rows["intensity"] = intensities
    rows["rgb"] = color_by_height(points[:, 2]).astype(np.uint32) @ (1 << 16, 1 << 8, 1)
    message = PointCloud2(header=header, height=1, width=len(rows), is_bigendian=False)
    message.fields = [
        PointField(name=name, offset=4 * place, datatype=PointField.FLOAT32, count=1)
        for place, name in enumerate(_POINT.names or ())
    ]
    message.point_step = _POINT.itemsize
    message.row_step = message.point_step * message.width
    message.is_dense = True
    message.data = array.array("B")
    message.data.frombytes(rows.tobytes())
    return message


def _to_pose(position: np.ndarray, quaternion: np.ndarray) -> Pose:
    x, y, z = position.tolist()
    return Pose(position=Point(x=x, y=y, z=z), orientation=_to_quaternion(quaternion))


def _to_quaternion(quaternion: np.ndarray) -> Quaternion:
    x, y, z, w = quaternion.tolist()
    return Quaternion(x=x, y=y, z=z, w=w)


def _to_vector(vector: np.ndarray) -> Vector3:
    x, y, z = vector.tolist()
    return Vector3(x=x, y=y, z=z)
