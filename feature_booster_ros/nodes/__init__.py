# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes: the one folder of the package that imports rclpy and messages."""
