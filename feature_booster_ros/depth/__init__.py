# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depth of features, from depth images that are aligned to the images and from stereo pairs."""

from .images import to_meters
from .rig import StereoRig
from .sensor import DepthSensor, DepthSettings
from .stereo import RightImage

__all__ = ["DepthSensor", "DepthSettings", "RightImage", "StereoRig", "to_meters"]
