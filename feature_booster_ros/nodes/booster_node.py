# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""booster_node: extract local features of images and boost their descriptors.

Subscribes to ``image`` (sensor_msgs/Image, or ``image/compressed`` of sensor_msgs/CompressedImage)
and ``camera_info``, and, as ``depth_input`` says, to ``depth``, or to ``right/image`` and
``right/camera_info``; publishes ``features`` (FeatureArray) and ``/diagnostics``. With the
parameter ``cameras`` it does so for several cameras, whose topics are ``NAME/image`` and so on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import CameraInfo

from feature_booster_ros.features import Features

from .booster_node_parameters import BoosterNodeParameters
from .camera_info import camera_of
from .camera_stream import CameraStream, ReceivedImage
from .feature_pipeline import FeaturePipeline
from .images import message_to_gray
from .lifecycle import ManagedNode, Resources, Work
from .messages import to_feature_array
from .process import limit_threads, run, sleep_at_barriers
from .workers import OverlappedWorker


@dataclass(frozen=True)
class _Extracted:
    """An image's features before they are boosted, and the pipeline that extracted them."""

    received: ReceivedImage
    pipeline: FeaturePipeline
    features: Features
    shape: tuple[int, int]
    camera_info: CameraInfo
    time: float


class BoosterNode(ManagedNode):
    """Extract and boost the features of each camera's newest image, again and again."""

    node_name = "booster_node"
    parameter_type = BoosterNodeParameters
    parameters: BoosterNodeParameters
    example = "-r image:=/camera/image_raw -r camera_info:=/camera/camera_info"

    def __init__(self) -> None:
        super().__init__()
        limit_threads(self.parameters.threads)

    def configure(self, resources: Resources) -> Work:
        """Load the network and make the publishers."""
        return BoosterWork(self, resources)


class BoosterWork(Work):
    """The work of a configured booster_node.

    The next image's features are extracted while those of the previous one are boosted and
    published, if the pipeline ``overlaps``: not where SIFT fills all cores, as that would make both
    stages slower and each image older. Several cameras share the network and the threads, and take
    turns.
    """

    def __init__(self, node: BoosterNode, resources: Resources) -> None:
        self._node = node
        self._pipeline = FeaturePipeline(node.parameters, None, node.get_logger().warning)
        self._cameras = [
            CameraStream(node, resources, name, self._problem, self._values)
            for name in node.parameters.camera_names()
        ]
        self._log_pipeline()

    def activate(self, resources: Resources) -> str:
        """Subscribe to images and start the threads that work on them."""
        self._worker = OverlappedWorker(
            self._extract, self._boost, "booster", lambda: self._pipeline.overlaps
        )
        resources.callback(self._worker.stop)
        topics = [camera.activate(resources, self._worker.submit) for camera in self._cameras]
        return f"waiting for {', '.join(topics)}"

    def apply_parameters(self, new: BoosterNodeParameters) -> None:
        """Replace the pipeline; the worker takes up the new one with its next image."""
        previous = self._pipeline
        self._pipeline = FeaturePipeline(new, previous, self._node.get_logger().warning)
        if self._pipeline.booster is not previous.booster:
            self._log_pipeline()

    def _problem(self) -> str:
        return self._pipeline.problem

    def _values(self) -> dict[str, str]:
        pipeline = self._pipeline
        return {
            "model": pipeline.model,
            "detector": pipeline.detector,
            "device": pipeline.device,
            "engine": pipeline.engine,
        }

    def _log_pipeline(self) -> None:
        pipeline = self._pipeline
        how = (
            "raw"
            if pipeline.booster is None
            else f"{pipeline.model} on {pipeline.device}, {pipeline.engine}"
        )
        if pipeline.extractor.implementation:
            how += f"; extracted by {pipeline.extractor.implementation}"
        self._node.get_logger().info(f"features: {pipeline.detector}, {how}")

    # Worker's threads

    def _extract(self, received: ReceivedImage) -> _Extracted | None:
        """First stage: return the features of an image, or None after an error."""
        begin = time.perf_counter()
        pipeline, camera = self._pipeline, received.camera
        with camera.frames.skip_on_error():
            with camera.frames.stage("convert"):
                image = message_to_gray(received.image, pipeline.parameters.wide_pixels)
                height, width = image.shape
                described = camera.describe(
                    received, (height, width), pipeline.parameters.rectified
                )
            with camera.frames.stage("extract"):
                features = pipeline.extract(image)
            if pipeline.parameters.depth_input != "none":
                with camera.frames.stage("depth"):
                    features = camera.measure_depth(features, received, image, pipeline.parameters)
            camera.frames.record("queue", begin - received.time)
            return _Extracted(
                received, pipeline, features, (height, width), described, time.perf_counter()
            )
        return None

    def _boost(self, extracted: _Extracted) -> None:
        """Second stage: boost and publish."""
        camera = extracted.received.camera
        camera.frames.record("handover", time.perf_counter() - extracted.time)
        pipeline, described = extracted.pipeline, extracted.camera_info
        parameters = pipeline.parameters
        with camera.frames.skip_on_error():
            with camera.frames.stage("boost"):
                matrix = None
                if parameters.normalization == "intrinsics":
                    matrix = _camera_matrix(camera, described)
                features = pipeline.boost(extracted.features, extracted.shape, matrix)
            with camera.frames.stage("publish"):
                camera.publish(
                    to_feature_array(
                        features,
                        described.header,
                        described,
                        pipeline.detector,
                        pipeline.model,
                        parameters.descriptor_type,
                    )
                )
            camera.frames.record("total", time.perf_counter() - extracted.received.time)
            camera.frames.count("processed")


def _camera_matrix(camera: CameraStream, described: CameraInfo) -> np.ndarray | None:
    intrinsics = camera_of(described)
    if intrinsics is not None:
        return intrinsics.matrix
    camera.frames.log.warning(
        "normalization is by intrinsics, but they are unknown: normalizing by the image's size",
        throttle_duration_sec=30.0,
    )
    return None


def main(args: Sequence[str] | None = None) -> int:
    """Run booster_node; return the exit status."""
    sleep_at_barriers()
    return run(BoosterNode, args)
