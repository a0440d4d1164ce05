# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of matcher_node."""

from __future__ import annotations

from dataclasses import dataclass

from feature_booster_ros.matching import FrameMatcherSettings
from feature_booster_ros.matching.drawing import LAYOUTS
from feature_booster_ros.pixels import WIDE_PIXELS

from .parameters import Change, FeatureNodeParameters, parameter
from .qos import RELIABILITIES

_SETTINGS = FrameMatcherSettings()


@dataclass(frozen=True)
class MatcherNodeParameters(FeatureNodeParameters):
    """Parameters of matcher_node."""

    reference: str = parameter(
        "previous",
        "Frame to match with: the previous one, or the last keyframe. A frame becomes a keyframe "
        "when its match has fewer inliers than keyframe_min_inliers or moves by more than "
        "keyframe_max_displacement.",
        choices=("previous", "keyframe"),
    )
    keyframe_min_inliers: int = parameter(
        _SETTINGS.keyframe_min_inliers,
        "Fewer inliers than this make a frame the next keyframe.",
        minimum=0,
        maximum=100_000,
    )
    keyframe_max_displacement: float = parameter(
        _SETTINGS.keyframe_max_displacement,
        "A larger median displacement of the inliers, as a share of the image's longer side, "
        "makes a frame the next keyframe.",
        minimum=0.0,
        maximum=10.0,
    )
    mutual: bool = parameter(
        _SETTINGS.mutual, "Keep a match only if each feature is the other's nearest."
    )
    ratio: float = parameter(
        1.0,
        "Keep a match only if its distance is below this share of the second nearest's (Lowe); 1 "
        "keeps all.",
        minimum=0.01,
        maximum=1.0,
    )
    max_distance: float = parameter(
        0.0,
        "Largest descriptor distance, L2 or Hamming in bits; 0 for any.",
        minimum=0.0,
        maximum=100_000.0,
    )
    top_k: int = parameter(
        0, "Keep only this many matches, the nearest; 0 for all.", minimum=0, maximum=1_000_000
    )
    device: str = parameter(
        "auto",
        "Where descriptors are compared: auto (CUDA if available), cpu, cuda or cuda:N.",
    )
    threshold: float = parameter(
        _SETTINGS.threshold,
        "Two-view geometry: largest distance from the epipolar line in pixels.",
        minimum=0.01,
        maximum=100.0,
    )
    confidence: float = parameter(
        _SETTINGS.confidence,
        "Two-view geometry: probability of the best model at which to stop.",
        minimum=0.01,
        maximum=0.999999,
    )
    max_iterations: int = parameter(
        _SETTINGS.max_iterations,
        "Two-view geometry: samples drawn at most.",
        minimum=1,
        maximum=1_000_000,
    )
    match_image: bool = parameter(
        True,
        "Draw match_image while somebody subscribes to it; false never does.",
        change=Change.UNCONFIGURED,
    )
    match_image_layout: str = parameter(
        "auto",
        "match_image shows the reference and the query frame side_by_side, stacked, as one of "
        "these by the shape of the images (auto: wide ones are stacked), or the motion as an "
        "overlay.",
        choices=LAYOUTS,
    )
    match_image_max_lines: int = parameter(
        200,
        "Matches drawn at most, in match_image and image_annotations; the counts written in are of "
        "all.",
        minimum=0,
        maximum=100_000,
    )
    match_image_max_width: int = parameter(
        1600,
        "Images are shrunk so that match_image is at most this wide in pixels; 0 for any width.",
        minimum=0,
        maximum=100_000,
    )
    image_transport: str = parameter(
        "raw",
        "Topic of the images to draw on: raw (image) or compressed (image/compressed).",
        choices=("raw", "compressed"),
        change=Change.UNCONFIGURED,
    )
    image_buffer_size: int = parameter(
        16,
        "Images kept for drawing until their features come.",
        minimum=1,
        maximum=1000,
        change=Change.UNCONFIGURED,
    )
    wide_pixels: str = parameter(
        "stretch",
        "How pixels of 16 bits or float become 8 bits for drawing: stretch or full_range.",
        choices=WIDE_PIXELS,
    )
    lazy: bool = parameter(
        True, "Subscribe to features only while somebody subscribes to the results."
    )
    qos_image_reliability: str = parameter(
        "best_effort",
        "Reliability of the subscription to images; reliable connects to reliable publishers only.",
        choices=RELIABILITIES,
        change=Change.UNCONFIGURED,
    )

    def matcher_settings(self) -> FrameMatcherSettings:
        """Return how frames are matched."""
        return FrameMatcherSettings(
            use_keyframes=self.reference == "keyframe",
            keyframe_min_inliers=self.keyframe_min_inliers,
            keyframe_max_displacement=self.keyframe_max_displacement,
            mutual=self.mutual,
            ratio=self.ratio if self.ratio < 1.0 else None,
            max_distance=self.max_distance or None,
            top_k=self.top_k or None,
            device=self.device,
            threshold=self.threshold,
            confidence=self.confidence,
            max_iterations=self.max_iterations,
        )
