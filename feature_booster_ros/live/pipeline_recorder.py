# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Record running pipelines (booster_node, matcher_node and so on), and set their pace.

Several pipelines fed by the same images are compared frame by frame: everything is stored by the
stamps of the frames, which all pipelines pass on unchanged.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.time import Time
from sensor_msgs.msg import Image

from feature_booster_ros.msg import FeatureArray, MatchArray
from feature_booster_ros.sources.ground_truth import rigid_transform

from ..nodes.images import ImageError, message_to_gray
from ..nodes.messages import from_match_array
from ..nodes.qos import stream_profile
from .listening_node import ListeningNode, rate_request

# Reliable, and deep enough that nothing is lost while pictures are written.
_QOS = stream_profile("reliable", 100)

# Playing rate as a share of the rate that the latest frames allow.
_MARGIN = 0.85
# Lowest playing rate [Hz].
_MIN_RATE = 0.1
# Playing rate of the first frames [Hz].
_FIRST_RATE = 1.0


@dataclass(frozen=True, eq=False)
class RecordedMatches:
    """One MatchArray.

    Attributes:
        query_points, reference_points: (M, 2) pixels.
        inliers: (M,) bool, whether a match agrees with the two-view geometry.
    """

    query_points: np.ndarray
    reference_points: np.ndarray
    inliers: np.ndarray


@dataclass(eq=False)
class PipelineRecord:
    """Messages of one pipeline; stamps are integer nanoseconds.

    Attributes:
        features: Number of features by the stamp of the frame.
        matches: Matches by (query stamp, reference stamp).
        poses: Pose (4, 4) in odom by the stamp of the frame, as odometry_node publishes it.
        matched_at: Time of arrival in seconds of time.monotonic() by the stamp of the query.
        counts: Newest totals of /diagnostics by (node, event), such as ("booster_node", "dropped").
        settings: Newest other values of /diagnostics by (node, key), such as the device.
    """

    features: dict[int, int] = field(default_factory=dict)
    matches: dict[tuple[int, int], RecordedMatches] = field(default_factory=dict)
    poses: dict[int, np.ndarray] = field(default_factory=dict)
    matched_at: dict[int, float] = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    settings: dict[tuple[str, str], str] = field(default_factory=dict)
    _times: dict[tuple[str, str], list[float]] = field(
        default_factory=lambda: defaultdict(lambda: [0.0, 0.0])
    )

    def milliseconds(self, node: str, stage: str) -> float:
        """Return the mean time of a node's stage for a frame; NaN if none was reported."""
        total, frames = self._times.get((node, stage), (0.0, 0.0))
        return total / frames if frames else float("nan")

    def add_diagnostics(self, node: str, values: dict[str, str]) -> None:
        """Add one status of /diagnostics, whose times are means since the one before."""
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
    """Subscribe to `features` and `matches` of each namespace, to /diagnostics and to the images.

    Args:
        namespaces: Namespaces of the pipelines, such as "raw".
        has_odometry: Whether each pipeline has an odometry_node.
        image_topic: Topic of the images, which all pipelines share.
        keep_images: Number of images to keep for drawing, the first ones.
    """

    def __init__(
        self,
        namespaces: list[str],
        has_odometry: bool = False,
        image_topic: str = "/image",
        keep_images: int = 300,
    ) -> None:
        super().__init__("pipeline_recorder")
        self.records = {namespace: PipelineRecord() for namespace in namespaces}
        self.images: dict[int, np.ndarray] = {}
        """(H, W) uint8 by stamp, of the first images."""
        self.arrivals: dict[int, float] = {}
        """Time of arrival of each image in seconds of time.monotonic(), by its stamp, in order."""
        self.last_heard = time.monotonic()
        """Time of arrival of the last image, features or matches [s]."""
        self._keep_images = keep_images
        self._topics = ("features", "matches", *(["odometry"] if has_odometry else []))
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
            if has_odometry:
                self.create_subscription(
                    Odometry,
                    f"/{namespace}/odometry",
                    lambda message, record=record: _add_pose(record, message),
                    _QOS,
                )

    def topics(self) -> list[str]:
        """Return the topics of all pipelines."""
        return [f"/{namespace}/{topic}" for namespace in self.records for topic in self._topics]

    def latency(self) -> float | None:
        """Return the time that the slowest pipeline takes from an image to its matches [s].

        It is the highest of the last three frames that all have matched, or the age of the oldest
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


def _add_pose(record: PipelineRecord, message: Odometry) -> None:
    pose = message.pose.pose
    position, turn = pose.position, pose.orientation
    record.poses[Time.from_msg(message.header.stamp).nanoseconds] = rigid_transform(
        np.array([position.x, position.y, position.z]),
        np.array([turn.x, turn.y, turn.z, turn.w]),
    )


class PlayingPace:
    """Set the rate of image_player_node while it plays, so that hardly a frame is dropped.

    The player starts slowly, as the first frame takes far longer than the others (CUDA kernels are
    loaded, memory is allocated). Then it is as fast as the slowest pipeline, at most as wanted.

    Args:
        recorder: Recorder of the images and of all pipelines.
        player: Name of the player's node.
        rate: Highest rate in Hz.
    """

    def __init__(self, recorder: PipelineRecorder, player: str, rate: float) -> None:
        self.rate = self.first_rate(rate)
        self._wanted = rate
        self._recorder = recorder
        self._client: Client = recorder.create_client(SetParameters, f"{player}/set_parameters")

    @staticmethod
    def first_rate(rate: float) -> float:
        """Return the rate to start the player with, in Hz."""
        return min(rate, _FIRST_RATE)

    def adapt(self) -> None:
        """Set the rate by the latency of the latest frames, if it differs by 10 % or more."""
        latency = self._recorder.latency()
        if latency is None or not self._client.service_is_ready():
            return
        rate = min(self._wanted, max(_MIN_RATE, _MARGIN / max(latency, 1e-3)))
        if abs(rate / self.rate - 1) < 0.1 and rate != self._wanted or rate == self.rate:
            return
        self._client.call_async(rate_request(rate))
        self.rate = rate
