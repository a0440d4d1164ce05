# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Descriptors in, matches out; and what two views' matches say about their geometry."""

from .frame_matcher import FrameMatch, FrameMatcher, FrameMatcherSettings
from .matcher import match
from .two_view import TwoViewGeometry, verify
from .types import Matches

__all__ = [
    "FrameMatch",
    "FrameMatcher",
    "FrameMatcherSettings",
    "Matches",
    "TwoViewGeometry",
    "match",
    "verify",
]
