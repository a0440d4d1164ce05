# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depth of features from the messages that tell it, live and recorded."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from feature_booster_ros.depth import DepthSensor, RightImage
from feature_booster_ros.features import Features

from .booster_node_parameters import BoosterNodeParameters
from .camera_info import camera_of
from .images import message_to_depth, message_to_gray


class Measured(NamedTuple):
    """What tells the depth of an image.

    Attributes:
        image: An aligned depth image, or the image of the right camera.
        camera_info: Of the right camera, or None.
    """

    image: Image | CompressedImage
    camera_info: CameraInfo | None = None


def measure_depth(
    sensor: DepthSensor,
    features: Features,
    image: np.ndarray,
    camera_info: CameraInfo | None,
    measured: Measured,
    parameters: BoosterNodeParameters,
) -> Features:
    """Return features with the depths that a message tells.

    Args:
        sensor: Of this camera, which may keep what it computes for the next image.
        features: Of the image.
        image: (H, W) uint8.
        camera_info: Of the image, as published by its driver.
        measured: At the time of the image.
        parameters: Of booster_node.

    Raises:
        ValueError: The message cannot be used; the text says why and what to do.
    """
    if parameters.depth_input == "aligned":
        return sensor.read_aligned(features, message_to_depth(measured.image), image.shape)
    left = None if camera_info is None else camera_of(camera_info, parameters.rectified)
    if left is None:
        raise ValueError("stereo needs the intrinsics of the left camera: publish camera_info")
    right = RightImage(
        message_to_gray(measured.image, parameters.wide_pixels),
        measured.camera_info and camera_of(measured.camera_info, parameters.rectified),
        "the right image",
    )
    return sensor.match_stereo(features, image, left, right)
