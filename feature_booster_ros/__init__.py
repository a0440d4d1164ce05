# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Boosted local features (FeatureBooster, arXiv 2211.15069) for ROS 2 and for plain Python."""

__version__ = "0.1.0"

# Python started in a checkout finds this folder before the built package: let it find the generated
# `msg` there all the same.
__path__ = __import__("pkgutil").extend_path(__path__, __name__)
