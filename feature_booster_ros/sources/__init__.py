# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames from anywhere: image folders, videos, data sets, bags, cameras. Nothing here needs ROS."""

from ..camera import Camera
from .calibration import read_camera, resolve_camera
from .opening import KINDS, open_source
from .source import Frame, Source, play

__all__ = [
    "KINDS",
    "Camera",
    "Frame",
    "Source",
    "open_source",
    "play",
    "read_camera",
    "resolve_camera",
]
