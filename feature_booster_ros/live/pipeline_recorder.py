# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Listen to running pipelines (booster_node and matcher_node in a namespace); keep what they say.

Several pipelines fed by the same images are compared frame by frame: everything is kept by the
stamps of the frames, which all pipelines pass on unchanged.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.time import Time
from sensor_msgs.msg import Image

from feature_booster_ros.msg import FeatureArray, MatchArray

from ..nodes.images import ImageError, message_to_gray
from ..nodes.messages import from_match_array
from ..nodes.qos import stream_profile
from .listening_node import ListeningNode

# Reliable, and deep enough that nothing is lost while pictures are written.
_QOS = stream_profile("reliable", 100)


@dataclass(frozen=True, eq=False)
class RecordedMatches:
    """One MatchArray.

    Attributes:
        query_points, reference_points: (M, 2) pixels.
        inliers: (M,) bool, which agree with the two-view geometry.
    """

    query_points: np.ndarray
    reference_points: np.ndarray
    inliers: np.ndarray


@dataclass(eq=False)
class PipelineRecord:
    """What one pipeline has published; stamps are integer nanoseconds.

    Attributes:
        features: number of features by the frame's stamp.
        matches: by (query stamp, reference stamp).
        matched_at: when they came, in seconds of time.monotonic(), by the query's stamp.
        counts: newest totals of /diagnostics by (node, event), such as ("booster_node", "dropped").
        settings: newest other values of /diagnostics by (node, key), such as the device.
    """

    features: dict[int, int] = field(default_factory=dict)
    matches: dict[tuple[int, int], RecordedMatches] = field(default_factory=dict)
    matched_at: dict[int, float] = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    settings: dict[tuple[str, str], str] = field(default_factory=dict)
    _times: dict[tuple[str, str], list[float]] = field(
        default_factory=lambda: defaultdict(lambda: [0.0, 0.0])
    )

    def milliseconds(self, node: str, stage: str) -> float:
        """Mean time of a stage of a node's work on a frame; NaN where none was reported."""
        total, frames = self._times.get((node, stage), (0.0, 0.0))
        return total / frames if frames else float("nan")

    def add_diagnostics(self, node: str, values: dict[str, str]) -> None:
        """Take over one status of /diagnostics, whose times are means since the one before."""
        processed = int(values.get("processed", 0))
        fresh = processed - self.counts.get((node, "processed"), 0)
        for key, value in values.items():
            if key in ("received", "processed", "dropped", "errors"):
                self.counts[node, key] = int(value)
            elif key.endswith("_ms"):
                sums = self._times[node, key.removesuffix("_ms")]
                sums[0] += float(value) * max(fresh, 0)
                sums[1] += max(fresh, 0)
            else:
                self.settings[node, key] = value


class PipelineRecorder(ListeningNode):
    """Subscribes to `features` and `matches` of each namespace, to /diagnostics and to the images.

    Args:
        namespaces: of the pipelines, such as "raw".
        image_topic: of the images that all of them are fed.
        keep_images: how many images to keep, the first to come, for drawing.
    """

    def __init__(
        self, namespaces: list[str], image_topic: str = "/image", keep_images: int = 300
    ) -> None:
        super().__init__("pipeline_recorder")
        self.records = {namespace: PipelineRecord() for namespace in namespaces}
        self.images: dict[int, np.ndarray] = {}
        """(H, W) uint8 by stamp, of the first images."""
        self.arrivals: dict[int, float] = {}
        """When each image came, in seconds of time.monotonic(), by its stamp, in their order."""
        self.last_heard = time.monotonic()
        """When the last image, features or matches came."""
        self._keep_images = keep_images
        self.create_subscription(Image, image_topic, self._on_image, _QOS)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        for namespace, record in self.records.items():
            self.create_subscription(
                FeatureArray,
                f"/{namespace}/features",
                lambda message, record=record: self._on_features(record, message),
                _QOS,
            )
            self.create_subscription(
                MatchArray,
                f"/{namespace}/matches",
                lambda message, record=record: self._on_matches(record, message),
                _QOS,
            )

    def is_connected(self) -> bool:
        """Tell whether every topic of every pipeline has its publisher."""
        return all(
            self.count_publishers(f"/{namespace}/{topic}")
            for namespace in self.records
            for topic in ("features", "matches")
        )

    def latency(self) -> float | None:
        """Tell how long the slowest pipeline takes from an image to its matches, seconds.

        It is the worst of the last three frames that all have matched, or the age of the oldest
        frame since then, if that is more. None before the second frame: the first has no matches.
        """
        slowest = {
            stamp: max(record.matched_at[stamp] for record in self.records.values()) - arrival
            for stamp, arrival in self.arrivals.items()
            if all(stamp in record.matched_at for record in self.records.values())
        }
        stamps = list(self.arrivals)
        done = stamps.index(next(reversed(slowest))) if slowest else 0
        waiting = stamps[done + 1 :]
        latencies = list(slowest.values())[-3:]
        if waiting:
            latencies.append(time.monotonic() - self.arrivals[waiting[0]])
        return max(latencies, default=None)

    def _on_image(self, message: Image) -> None:
        self.last_heard = time.monotonic()
        stamp = Time.from_msg(message.header.stamp).nanoseconds
        self.arrivals[stamp] = self.last_heard
        if len(self.images) < self._keep_images:
            try:
                self.images[stamp] = message_to_gray(message).copy()
            except ImageError as error:
                self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _on_features(self, record: PipelineRecord, message: FeatureArray) -> None:
        self.last_heard = time.monotonic()
        record.features[Time.from_msg(message.header.stamp).nanoseconds] = len(message.x)

    def _on_matches(self, record: PipelineRecord, message: MatchArray) -> None:
        self.last_heard = time.monotonic()
        stamps = (message.header.stamp, message.reference_stamp)
        query, reference = (Time.from_msg(stamp).nanoseconds for stamp in stamps)
        _, inliers, query_points, reference_points = from_match_array(message)
        record.matches[query, reference] = RecordedMatches(
            query_points.copy(), reference_points.copy(), inliers
        )
        record.matched_at[query] = self.last_heard

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            namespace, _, node = status.name.partition(":")[0].partition("/")
            if namespace in self.records:
                values = {value.key: value.value for value in status.values}
                self.records[namespace].add_diagnostics(node, values)
