# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Photographs, and random views of them whose homography is known."""

from .folder import find_photos, read_photo, split_photos
from .views import (
    ViewDistribution,
    change_light,
    random_homography,
    warp_image,
    warp_points,
)

__all__ = [
    "ViewDistribution",
    "change_light",
    "find_photos",
    "random_homography",
    "read_photo",
    "split_photos",
    "warp_image",
    "warp_points",
]
