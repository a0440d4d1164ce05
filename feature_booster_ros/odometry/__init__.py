# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Visual odometry: features of a moving camera in, poses and landmarks out."""

from ..errors import install_extra

try:
    import poselib  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"{error}: the odometry needs poselib: {install_extra('odometry')}"
    ) from error

from .settings import EXTRACTOR_OPTIONS, OdometrySettings
from .types import Estimate, Landmarks, State
from .visual_odometry import VisualOdometry

__all__ = [
    "EXTRACTOR_OPTIONS",
    "Estimate",
    "Landmarks",
    "OdometrySettings",
    "State",
    "VisualOdometry",
]
