# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CameraInfo as the intrinsics of the very image at hand."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import cv2
import numpy as np
from sensor_msgs.msg import CameraInfo

# Models whose coefficients OpenCV's undistortPoints takes in ROS's order, and ROS's fisheye.
_OPENCV_MODELS = ("plumb_bob", "rational_polynomial")
_FISHEYE_MODEL = "equidistant"


class CameraInfoError(ValueError):
    """A CameraInfo that does not fit its image or makes no sense; the message names field and
    remedy.
    """


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of an image.

    Attributes:
        matrix: (3, 3) float64, or None when they are unknown.
        distortion: coefficients in the order of ``model``; empty for none.
        model: ROS's name of the distortion model.
    """

    matrix: np.ndarray | None
    distortion: np.ndarray
    model: str

    def undistort(self, points: np.ndarray) -> np.ndarray:
        """Pixels (N, 2) where an ideal pinhole camera with the same ``matrix`` would see them,
        float64.

        Points that the model cannot bring back (outside a fisheye's range) come out as NaN.

        Raises:
            CameraInfoError: the distortion model is unknown.
        """
        points = np.asarray(points, np.float64).reshape(-1, 2)
        if self.matrix is None or not np.any(self.distortion) or len(points) == 0:
            return points
        if self.model in _OPENCV_MODELS:
            undistorted = cv2.undistortPoints(
                points[:, None], self.matrix, self.distortion, P=self.matrix
            )[:, 0]
        elif self.model == _FISHEYE_MODEL:
            undistorted = cv2.fisheye.undistortPoints(
                points[:, None], self.matrix, self.distortion[:4], P=self.matrix
            )[:, 0]
            # OpenCV marks what does not converge by -1000000 in normalised coordinates.
            rays = (undistorted - self.matrix[:2, 2]) / self.matrix[[0, 1], [0, 1]]
            undistorted[np.any(rays < -999999.0, axis=1)] = np.nan
        else:
            raise CameraInfoError(
                f"CameraInfo.distortion_model {self.model!r} is not supported: use "
                f"{', '.join(_OPENCV_MODELS)} or {_FISHEYE_MODEL}, or publish rectified images"
            )
        return undistorted


def camera_of(camera_info: CameraInfo) -> Camera:
    """The camera of a CameraInfo that describes its image directly, such as FeatureArray's.

    Raises:
        CameraInfoError: K or D has values that are not finite, or K no positive focal lengths.
    """
    matrix = np.array(camera_info.k, np.float64).reshape(3, 3)
    distortion = np.array(camera_info.d, np.float64)
    if not np.isfinite(matrix).all():
        raise CameraInfoError(
            f"CameraInfo.k has values that are not finite, {_row(matrix)}: calibrate the camera"
        )
    if not np.isfinite(distortion).all():
        raise CameraInfoError(
            f"CameraInfo.d has values that are not finite, {_row(distortion)}: calibrate the camera"
        )
    if matrix[0, 0] == 0:  # ROS's convention for an uncalibrated camera
        return Camera(None, np.zeros(0), "")
    if matrix[0, 0] < 0 or matrix[1, 1] <= 0:
        raise CameraInfoError(
            f"CameraInfo.k has focal lengths fx={matrix[0, 0]}, fy={matrix[1, 1]}, which must be "
            "above 0: calibrate the camera"
        )
    return Camera(matrix, distortion, camera_info.distortion_model)


def describe_image(
    camera_info: CameraInfo, width: int, height: int, rectified: bool = False
) -> CameraInfo:
    """A CameraInfo that holds for an image of ``width`` x ``height`` directly.

    CameraInfo describes the sensor at full resolution, from which the driver may cut a region of
    interest and then bin pixels. The region and the binning are worked into K and P here, as
    image_geometry does, and then cleared, so that who receives the result need not know of them.

    Args:
        camera_info: as the driver publishes it.
        width: of the image in pixels.
        height: of the image in pixels.
        rectified: the image has been rectified (image_rect): K becomes P's camera matrix, D empty,
            R identity.

    Raises:
        CameraInfoError: it belongs to an image of another size, or makes no sense.
    """
    binning = max(1, camera_info.binning_x), max(1, camera_info.binning_y)
    # Width and height of 0 stand for the full resolution.
    full = camera_info.roi.width or camera_info.width, camera_info.roi.height or camera_info.height
    expected = full[0] // binning[0], full[1] // binning[1]
    if any(full) and expected != (width, height):
        raise CameraInfoError(
            "CameraInfo.width and height (with its roi and binning) tell of an image of "
            f"{expected[0]} x {expected[1]} pixels, but the image has {width} x {height}: publish "
            "the camera_info of this image's camera and size"
        )
    # A shallow copy, a twentieth of a deep one's time: fields are replaced, none is written into.
    described = copy.copy(camera_info)
    described.width, described.height = width, height
    described.binning_x = described.binning_y = 0
    described.roi = type(described.roi)()
    offset = camera_info.roi.x_offset, camera_info.roi.y_offset
    described.k = _cropped(np.array(camera_info.k).reshape(3, 3), offset, binning).ravel()
    described.p = _cropped(np.array(camera_info.p).reshape(3, 4), offset, binning).ravel()
    if rectified:
        described.k = np.array(described.p).reshape(3, 4)[:, :3].ravel()
        described.d = []
        described.distortion_model = "plumb_bob"
        described.r = np.eye(3).ravel()
    camera_of(described)
    return described


def uncalibrated(camera_info: CameraInfo | None, width: int, height: int) -> CameraInfo:
    """A CameraInfo that says nothing but the image's size, and ``camera_info``'s header."""
    described = CameraInfo(width=width, height=height)
    if camera_info is not None:
        described.header = camera_info.header
    return described


def _cropped(matrix: np.ndarray, offset: tuple[int, int], binning: tuple[int, int]) -> np.ndarray:
    """K or P of the image that is cut at ``offset`` and then binned."""
    if matrix[0, 0] == 0:
        return matrix
    matrix = matrix.copy()
    matrix[0, 2] -= offset[0]
    matrix[1, 2] -= offset[1]
    matrix[0] /= binning[0]
    matrix[1] /= binning[1]
    return matrix


def _row(values: np.ndarray) -> str:
    return np.array2string(values.ravel(), separator=", ", precision=4, max_line_width=1000)
