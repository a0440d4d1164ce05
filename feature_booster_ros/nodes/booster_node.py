# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""booster_node: extract local features of images and boost their descriptors.

Subscribes to ``image`` (sensor_msgs/Image, or ``image/compressed`` of sensor_msgs/CompressedImage)
and ``camera_info``; publishes ``features`` (FeatureArray) and ``/diagnostics``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from feature_booster_ros.features import Features
from feature_booster_ros.msg import FeatureArray
from feature_booster_ros.stamps import Order, StampWatch

from .booster_node_parameters import BoosterNodeParameters
from .camera_info import camera_of
from .diagnostics import FrameMonitor, MissingFrames
from .feature_pipeline import FeaturePipeline
from .image_input import ImageInput
from .images import message_to_gray
from .lifecycle import ManagedNode, Resources, Work
from .messages import stamp_of, to_feature_array
from .process import limit_threads, run, sleep_at_barriers
from .workers import OverlappedWorker


@dataclass(frozen=True)
class _Received:
    """An image that waits, and when it arrived by time.perf_counter()."""

    image: Image | CompressedImage
    camera_info: CameraInfo | None
    time: float


@dataclass(frozen=True)
class _Extracted:
    """An image's features before they are boosted, and the pipeline that extracted them."""

    received: _Received
    pipeline: FeaturePipeline
    features: Features
    shape: tuple[int, int]
    camera_info: CameraInfo
    time: float


class BoosterNode(ManagedNode):
    """Extract and boost the features of the newest image, again and again."""

    node_name = "booster_node"
    parameter_type = BoosterNodeParameters
    parameters: BoosterNodeParameters
    example = "-r image:=/camera/image_raw -r camera_info:=/camera/camera_info"

    def __init__(self) -> None:
        super().__init__()
        limit_threads(self.parameters.threads)

    def configure(self, resources: Resources) -> Work:
        """Load the network and make the publisher."""
        return BoosterWork(self, resources)


class BoosterWork(Work):
    """The work of a configured booster_node.

    The next image's features are extracted while those of the previous one are boosted and
    published, if the pipeline ``overlaps``: not where SIFT fills all cores, as that would make both
    stages slower and each image older.
    """

    def __init__(self, node: BoosterNode, resources: Resources) -> None:
        self._node = node
        self._pipeline = FeaturePipeline(node.parameters)
        self._publisher = resources.lifecycle_publisher(
            FeatureArray, "features", node.parameters.output_profile()
        )
        self._input = ImageInput(node, node.parameters)
        self._frames = FrameMonitor(
            node,
            self._input.topic,
            node.parameters.diagnostics_period,
            self._condition,
            self._values,
        )
        self._log_pipeline()

    def activate(self, resources: Resources) -> str:
        """Subscribe to images and start the threads that work on them."""
        self._frames.activate(resources)
        self._stamps = StampWatch(
            self._frames.warn,
            unusable="features are published, but odometry_node leaves them out",
            restart="going on",
        )
        self._missing = MissingFrames()
        self._worker = OverlappedWorker(
            self._extract, self._boost, "booster", lambda: self._pipeline.overlaps
        )
        resources.callback(self._worker.stop)
        return f"waiting for {self._input.activate(resources, self._receive, self._frames)}"

    def apply_parameters(self, new: BoosterNodeParameters) -> None:
        """Replace the pipeline; the worker takes up the new one with its next image."""
        previous, self._pipeline = self._pipeline, FeaturePipeline(new, self._pipeline)
        if self._pipeline.booster is not previous.booster:
            self._log_pipeline()

    # Executor's thread

    def _receive(self, image: Image | CompressedImage, camera_info: CameraInfo | None) -> None:
        stamp_ns = stamp_of(image)
        order = self._stamps.add(stamp_ns)
        self._frames.count_order(order)
        if order is Order.RISING:
            self._frames.count_missing(self._missing.add(stamp_ns))
        if self._node.parameters.lazy and self._publisher.get_subscription_count() == 0:
            self._frames.count("idle")
        elif self._worker.submit(_Received(image, camera_info, time.perf_counter())):
            self._frames.count("dropped")

    def _condition(self) -> tuple[bytes, str]:
        problem = self._input.problem()
        return (DiagnosticStatus.WARN, problem) if problem else (DiagnosticStatus.OK, "running")

    def _values(self) -> dict[str, str]:
        pipeline = self._pipeline
        return {
            "model": pipeline.model,
            "detector": pipeline.detector,
            "device": pipeline.device,
            "engine": pipeline.engine,
            **self._input.values(),
        }

    def _log_pipeline(self) -> None:
        pipeline = self._pipeline
        how = (
            "raw"
            if pipeline.booster is None
            else f"{pipeline.model} on {pipeline.device}, {pipeline.engine}"
        )
        self._node.get_logger().info(f"features: {pipeline.detector}, {how}")

    # Worker's threads

    def _extract(self, received: _Received) -> _Extracted | None:
        """First stage: return the features of an image, or None after an error."""
        begin = time.perf_counter()
        pipeline, message = self._pipeline, received.image
        parameters = pipeline.parameters
        with self._frames.skip_on_error():
            with self._frames.stage("convert"):
                image = message_to_gray(message, parameters.wide_pixels)
                height, width = image.shape
                described = self._input.describe(
                    received.camera_info, (height, width), parameters.rectified
                )
                described.header = message.header
            with self._frames.stage("extract"):
                features = pipeline.extract(image)
            self._frames.record("queue", begin - received.time)
            return _Extracted(
                received, pipeline, features, (height, width), described, time.perf_counter()
            )
        return None

    def _boost(self, extracted: _Extracted) -> None:
        """Second stage: boost and publish."""
        self._frames.record("handover", time.perf_counter() - extracted.time)
        pipeline, described = extracted.pipeline, extracted.camera_info
        parameters = pipeline.parameters
        with self._frames.skip_on_error():
            with self._frames.stage("boost"):
                matrix = None
                if parameters.normalization == "intrinsics":
                    matrix = self._camera_matrix(described)
                features = pipeline.boost(extracted.features, extracted.shape, matrix)
            with self._frames.stage("publish"):
                self._publisher.publish(
                    to_feature_array(
                        features,
                        described.header,
                        described,
                        pipeline.detector,
                        pipeline.model,
                        parameters.half_precision_descriptors,
                    )
                )
            self._frames.record("total", time.perf_counter() - extracted.received.time)
            self._frames.count("processed")

    def _camera_matrix(self, described: CameraInfo) -> np.ndarray | None:
        camera = camera_of(described)
        if camera is not None:
            return camera.matrix
        self._node.get_logger().warning(
            "normalization is by intrinsics, but they are unknown: normalizing by the image's size",
            throttle_duration_sec=30.0,
        )
        return None


def main(args: Sequence[str] | None = None) -> int:
    """Run booster_node; return the exit status."""
    sleep_at_barriers()
    return run(BoosterNode, args)
