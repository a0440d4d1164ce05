# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Features of a moving camera in, its poses and landmarks out. No ROS in here."""

from .settings import OdometrySettings
from .types import Estimate, Landmarks, State
from .visual_odometry import VisualOdometry

__all__ = ["Estimate", "Landmarks", "OdometrySettings", "State", "VisualOdometry"]
