# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Descriptors in, matches out; two-view geometry of the matches."""

from .frame_matcher import FrameMatch, FrameMatcher, FrameMatcherSettings
from .matcher import Matches, match
from .two_view import TwoViewGeometry, verify

__all__ = [
    "FrameMatch",
    "FrameMatcher",
    "FrameMatcherSettings",
    "Matches",
    "TwoViewGeometry",
    "match",
    "verify",
]
