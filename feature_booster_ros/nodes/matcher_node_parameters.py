# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of matcher_node."""

from __future__ import annotations

from dataclasses import dataclass

from feature_booster_ros.matching.drawing import LAYOUTS
from feature_booster_ros.pixels import WIDE_PIXELS

from .parameters import Change, parameter
from .qos import RELIABILITIES


@dataclass(frozen=True)
class MatcherNodeParameters:
    """Parameters of matcher_node."""

    autostart: bool = parameter(
        True,
        "Configure and activate at start; false leaves that to a lifecycle manager.",
        change=Change.START,
    )
    reference: str = parameter(
        "previous",
        "Frame to match with: the previous one, or the last keyframe, which a frame becomes when "
        "its match shows less than keyframe_min_inliers or more than keyframe_max_displacement.",
        choices=("previous", "keyframe"),
    )
    keyframe_min_inliers: int = parameter(
        100, "Fewer inliers than this make a frame the next keyframe.", minimum=0, maximum=100_000
    )
    keyframe_max_displacement: float = parameter(
        0.1,
        "A larger median displacement of the inliers, as a share of the image's longer side, "
        "makes a frame the next keyframe.",
        minimum=0.0,
        maximum=10.0,
    )
    mutual: bool = parameter(True, "Keep a match only if each feature is the other's nearest.")
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
        "Where descriptors are compared: auto (CUDA where there is one), cpu, cuda or cuda:N.",
    )
    threshold: float = parameter(
        1.0,
        "Two-view geometry: largest distance from the epipolar line in pixels.",
        minimum=0.01,
        maximum=100.0,
    )
    confidence: float = parameter(
        0.999,
        "Two-view geometry: probability of the best model at which to stop.",
        minimum=0.01,
        maximum=0.999999,
    )
    max_iterations: int = parameter(
        2000, "Two-view geometry: samples drawn at most.", minimum=1, maximum=1_000_000
    )
    match_image: bool = parameter(
        True,
        "Draw match_image while somebody subscribes to it; false never does.",
        change=Change.UNCONFIGURED,
    )
    match_image_layout: str = parameter(
        "side_by_side",
        "match_image shows the reference and the query frame side_by_side, stacked, or the "
        "motion as an overlay.",
        choices=LAYOUTS,
    )
    match_image_max_lines: int = parameter(
        500, "Matches drawn at most; the counts written in are of all.", minimum=0, maximum=100_000
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
        True, "Do nothing with features while nobody subscribes to matches or match_image."
    )
    qos_input_reliability: str = parameter(
        "reliable",
        "Reliability of the subscription to features; best_effort also connects to best-effort "
        "publishers.",
        choices=RELIABILITIES,
        change=Change.UNCONFIGURED,
    )
    qos_image_reliability: str = parameter(
        "best_effort",
        "Reliability of the subscription to images; reliable connects to reliable publishers only.",
        choices=RELIABILITIES,
        change=Change.UNCONFIGURED,
    )
    qos_input_depth: int = parameter(
        5,
        "Messages kept by the middleware for each subscription.",
        minimum=1,
        maximum=1000,
        change=Change.UNCONFIGURED,
    )
    qos_output_reliability: str = parameter(
        "reliable",
        "Reliability of the publishers; best_effort serves best-effort subscriptions only.",
        choices=RELIABILITIES,
        change=Change.UNCONFIGURED,
    )
    qos_output_depth: int = parameter(
        5, "Messages kept by the middleware.", minimum=1, maximum=1000, change=Change.UNCONFIGURED
    )
    diagnostics_period: float = parameter(
        1.0,
        "Seconds between two messages on /diagnostics.",
        minimum=0.1,
        maximum=60.0,
        change=Change.UNCONFIGURED,
    )
