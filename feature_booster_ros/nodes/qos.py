# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Quality of service of the nodes' topics.

Image subscriptions default to sensor data (best effort, volatile, keep the last 5), which connects
to any publisher. Publishers default to reliable: a reliable publisher serves reliable and
best-effort subscriptions alike, while reliable subscriptions (RViz, ``ros2 bag record``) receive
nothing from a best-effort one. A reliable publisher that keeps only the last few samples does not
wait for a slow subscriber: old samples are overwritten.

Subscriptions to features default to reliable too: a FeatureArray of 2048 descriptors as float32 has
a megabyte, more than Fast DDS's shared memory takes by default, so it is sent in pieces. A
best-effort subscription that loses one piece loses the whole message, even on one machine. The
same holds for images of a megabyte and more: if the camera's publisher is reliable, set the
booster's ``qos_input_reliability`` to reliable too, or start the camera's driver with the profile
config/fastdds.xml (docs/reliability.md).
"""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

RELIABILITIES = ("best_effort", "reliable")

LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=10,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Profile of a subscription that also receives what publishers have kept for it (latched)."""


def stream_profile(reliability: str, depth: int) -> QoSProfile:
    """Return the profile of a stream of samples, of which only the newest matter.

    Args:
        reliability: One of ``RELIABILITIES``.
        depth: Samples kept, at least 1.

    Raises:
        ValueError: The reliability is unknown.
    """
    if reliability not in RELIABILITIES:
        raise ValueError(
            f"reliability must be one of {', '.join(RELIABILITIES)}, not {reliability!r}"
        )
    policies = {
        "best_effort": ReliabilityPolicy.BEST_EFFORT,
        "reliable": ReliabilityPolicy.RELIABLE,
    }
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=policies[reliability],
        durability=DurabilityPolicy.VOLATILE,
    )


def why_incompatible(node: Node, topic: str, reliability: str) -> str:
    """Return why a subscription does not receive the topic's publishers, and what to do, or ""."""
    if reliability == "reliable" and any(
        publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
        for publisher in node.get_publishers_info_by_topic(topic)
    ):
        return (
            f"{topic} is published as best effort, which a reliable subscription does not "
            "receive: set the parameter qos_input_reliability to best_effort"
        )
    return ""
