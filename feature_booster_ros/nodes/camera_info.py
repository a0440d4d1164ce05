# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Convert cameras to and from sensor_msgs/CameraInfo."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from feature_booster_ros.camera import Calibration, Camera


class CameraInfoError(ValueError):
    """A CameraInfo that does not fit its image or makes no sense.

    The message names what is wrong and the remedy.
    """


def camera_of(camera_info: CameraInfo, rectified: bool = False) -> Camera | None:
    """Return the camera of the image that a CameraInfo describes; None if it is uncalibrated.

    Raises:
        CameraInfoError: The CameraInfo makes no sense.
    """
    try:
        return Camera.of_calibration(Calibration.of_message(camera_info), rectified)
    except ValueError as error:
        raise CameraInfoError(f"CameraInfo is of no use: {error}") from None


def describe_image(
    camera_info: CameraInfo, width: int, height: int, rectified: bool = False
) -> CameraInfo:
    """Convert a CameraInfo to one that describes an image of `width` x `height` pixels directly.

    Region of interest, binning and rectification are applied (see `Calibration.of_image`), so that
    receivers of the result need not apply them.

    Args:
        camera_info: As the driver publishes it.
        width: Of the image in pixels.
        height: Of the image in pixels.
        rectified: Whether the image has been rectified (image_rect).

    Raises:
        CameraInfoError: It belongs to an image of another size, or makes no sense.
    """
    camera = camera_of(camera_info, rectified)
    if camera is None:
        return uncalibrated(camera_info, width, height)
    expected = camera.width, camera.height
    if any(expected) and expected != (width, height):
        raise CameraInfoError(
            "CameraInfo.width and height (with its roi and binning) describe an image of "
            f"{expected[0]} x {expected[1]} pixels, but the image has {width} x {height}: publish "
            "the camera_info of this image's camera and size"
        )
    described = _message(camera.calibration.of_image(camera.rectified), camera_info.header)
    described.width, described.height = width, height
    return described


def uncalibrated(camera_info: CameraInfo | None, width: int, height: int) -> CameraInfo:
    """Return a CameraInfo that says nothing but the image's size, and `camera_info`'s header."""
    header = Header() if camera_info is None else camera_info.header
    return to_camera_info(None, width, height, header)


def to_camera_info(
    calibration: Calibration | None, width: int, height: int, header: Header
) -> CameraInfo:
    """Return the CameraInfo of a calibration, field by field.

    Without a calibration only the image's size in pixels is filled, which in ROS means that the
    camera is uncalibrated.
    """
    if calibration is None:
        return CameraInfo(header=header, width=width, height=height)
    return _message(calibration, header)


def _message(calibration: Calibration, header: Header) -> CameraInfo:
    roi = calibration.roi
    return CameraInfo(
        header=header,
        width=calibration.width,
        height=calibration.height,
        distortion_model=calibration.distortion_model,
        d=calibration.d,
        k=calibration.k,
        r=calibration.r,
        p=calibration.p,
        binning_x=calibration.binning_x,
        binning_y=calibration.binning_y,
        roi=RegionOfInterest(
            x_offset=roi.x_offset,
            y_offset=roi.y_offset,
            height=roi.height,
            width=roi.width,
            do_rectify=roi.do_rectify,
        ),
    )
