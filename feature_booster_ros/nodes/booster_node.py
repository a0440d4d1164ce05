# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""booster_node: images in, boosted local features out.

Subscribes to ``image`` (sensor_msgs/Image, or ``image/compressed`` of sensor_msgs/CompressedImage)
and ``camera_info``; publishes ``features`` (FeatureArray) and ``/diagnostics``.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from feature_booster_ros.camera import is_rectified_topic
from feature_booster_ros.features import Features
from feature_booster_ros.msg import FeatureArray

from .booster_node_parameters import BoosterNodeParameters
from .camera_info import CameraInfoError, camera_of, describe_image, uncalibrated
from .diagnostics import DiagnosticsPublisher, FrameStatistics, StampMonitor
from .feature_pipeline import FeaturePipeline
from .images import ImageError, compressed_to_gray, to_gray
from .lifecycle import ManagedNode, run
from .messages import stamp_of, to_feature_array
from .overlapped_worker import OverlappedWorker
from .qos import stream_profile
from .synchronization import ImageWithCameraInfo
from .threads import limit_threads, sleep_at_barriers
from .timers import steady_timer

Value = TypeVar("Value")

_INPUT_CHECK_PERIOD = 5.0
"""Seconds after which to say that images, or their camera_info, do not come."""


@dataclass(frozen=True)
class _Received:
    """An image that waits, and when it came by time.perf_counter()."""

    image: Image | CompressedImage
    camera_info: CameraInfo | None
    time: float


@dataclass(frozen=True)
class _Extracted:
    """An image's features on their way to the network, with the parameters that they began with."""

    source: _Received
    pipeline: FeaturePipeline
    features: Features
    shape: tuple[int, int]
    camera_info: CameraInfo
    time: float


class BoosterNode(ManagedNode):
    """Extracts and boosts the features of the newest image, again and again.

    The next image's features are extracted while the last one's are boosted and published, where
    the parameter ``overlap`` says so. Left to itself it does where extraction leaves cores idle:
    where SIFT fills all of them, an overlap would only make both stages slower, and each image
    older.
    """

    parameter_type = BoosterNodeParameters
    parameters: BoosterNodeParameters

    def __init__(self) -> None:
        super().__init__("booster_node")
        limit_threads(self.parameters.threads)
        self._pipeline: FeaturePipeline | None = None
        self._publisher = None
        self._worker: OverlappedWorker[_Received, _Extracted] | None = None
        self._input = None
        self._diagnostics: DiagnosticsPublisher | None = None
        self._input_check = None
        self._statistics = FrameStatistics()
        self._uncalibrated = self._uncalibrated_told = False

    # Lifecycle

    def configure(self) -> None:
        self._pipeline = FeaturePipeline(self.parameters)
        self._publisher = self.create_lifecycle_publisher(
            FeatureArray,
            "features",
            stream_profile(
                self.parameters.qos_output_reliability, self.parameters.qos_output_depth
            ),
        )
        self._log_pipeline()

    def activate(self) -> None:
        parameters = self.parameters
        self._statistics = FrameStatistics()
        self._uncalibrated = self._uncalibrated_told = False
        self._worker = OverlappedWorker(
            self._extract, self._boost, "booster", self._pipeline.overlaps
        )
        compressed = parameters.image_transport == "compressed"
        # As image_transport does it: the remapped base topic, and the transport after it.
        self._image_topic = self.resolve_topic_name("image") + ("/compressed" if compressed else "")
        self._camera_info_topic = self.resolve_topic_name("camera_info")
        image_type = CompressedImage if compressed else Image
        qos = stream_profile(parameters.qos_input_reliability, parameters.qos_input_depth)
        if parameters.use_camera_info:
            if is_rectified_topic(self._image_topic) and not parameters.rectified:
                self.get_logger().warning(
                    f"{self._image_topic} is named as rectified images are, but K and D of "
                    "camera_info are taken: set the parameter rectified, so that P is"
                )
            self._input = ImageWithCameraInfo(
                self,
                image_type,
                self._image_topic,
                self._camera_info_topic,
                self._receive,
                self._statistics.count,
                qos,
            )
        else:
            self._input = self.create_subscription(
                image_type, self._image_topic, self._receive_alone, qos
            )
        self._stamps = StampMonitor(
            self,
            self._statistics.count,
            self._image_topic,
            unusable="features are published, but odometry_node leaves them out",
            restart="going on",
        )
        self._diagnostics = DiagnosticsPublisher(
            self,
            self._statistics,
            self._image_topic,
            parameters.diagnostics_period,
            self._condition,
        )
        self._diagnostics.settings = self._settings()
        self._input_check = steady_timer(self, _INPUT_CHECK_PERIOD, self._check_input)
        self._images_checked = 0

    def deactivate(self) -> None:
        if self._input_check is not None:
            self.destroy_timer(self._input_check)
        if isinstance(self._input, ImageWithCameraInfo):
            self._input.destroy()
        elif self._input is not None:
            self.destroy_subscription(self._input)
        if self._worker is not None:
            self._worker.stop()
        if self._diagnostics is not None:
            self._diagnostics.destroy()
        self._input_check = self._input = self._worker = self._diagnostics = None

    def cleanup(self) -> None:
        if self._publisher is not None:
            self.destroy_lifecycle_publisher(self._publisher)
        self._publisher = self._pipeline = None

    def apply_parameters(self, new: BoosterNodeParameters) -> None:
        # The worker takes up the new pipeline with its next image.
        previous, self._pipeline = self._pipeline, FeaturePipeline(new, self._pipeline)
        if self._worker is not None:
            self._worker.overlap = self._pipeline.overlaps
        if self._diagnostics is not None:
            self._diagnostics.settings = self._settings()
        if self._pipeline.booster is not previous.booster:
            self._log_pipeline()

    # Executor's thread

    def _receive(
        self, image: Image | CompressedImage, camera_info: CameraInfo | None = None
    ) -> None:
        self._stamps.add(stamp_of(image))
        if isinstance(self._input, ImageWithCameraInfo):
            self._diagnostics.settings["camera_info"] = self._input.choice
            self._diagnostics.settings["camera_infos"] = str(self._input.camera_infos)
        if self.parameters.lazy and self._publisher.get_subscription_count() == 0:
            self._statistics.count("idle")
            return
        if self._worker.submit(_Received(image, camera_info, time.perf_counter())):
            self._statistics.count("dropped")

    def _receive_alone(self, image: Image | CompressedImage) -> None:
        self._statistics.count("received")
        self._receive(image)

    def _condition(self) -> tuple[bytes, str]:
        """For /diagnostics."""
        if isinstance(self._input, ImageWithCameraInfo):
            reason = "images wait for camera_info" if self._input.is_waiting else ""
            reason = "no intrinsics" if self._input.choice == "none" else reason
            if reason:
                return DiagnosticStatus.WARN, f"{reason}: {self._without_camera_info()}"
        if self._uncalibrated:
            return DiagnosticStatus.WARN, f"no intrinsics: {self._of_uncalibrated_camera()}"
        return DiagnosticStatus.OK, "running"

    def _without_camera_info(self) -> str:
        """Why images have no camera_info, and what to do."""
        frames = ", ".join(map(repr, self._input.frames))
        topic = self._camera_info_topic
        if not frames and (reason := self._incompatible(topic)):
            return reason
        return (
            (f"{topic} is of frame {frames}, the images are of another: " if frames else "")
            or f"images come on {self._image_topic}, but nothing on {topic}: "
        ) + (
            "remap it (-r camera_info:=/camera/camera_info), or work without intrinsics (-p "
            "use_camera_info:=false)"
        )

    def _incompatible(self, topic: str) -> str:
        """Why nothing comes from a topic's publishers, and what to do; empty if it could come."""
        if self.parameters.qos_input_reliability == "reliable" and any(
            publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
            for publisher in self.get_publishers_info_by_topic(topic)
        ):
            return (
                f"{topic} is published as best effort, which a reliable subscription does not "
                "receive: set the parameter qos_input_reliability to best_effort"
            )
        return ""

    def _check_input(self) -> None:
        """Says what has not come since the last check, and what to do."""
        images = self._statistics.total("received") - self._images_checked
        self._images_checked += images
        if not images and self._images_checked:
            self.get_logger().info(
                f"images on {self._image_topic} have paused: none in {_INPUT_CHECK_PERIOD:g} s",
                throttle_duration_sec=60.0,
            )
        elif not images:
            self.get_logger().info(
                self._incompatible(self._image_topic)
                or f"no images on {self._image_topic}: is the camera running, and the topic "
                "remapped (-r image:=/camera/image_raw)?",
                throttle_duration_sec=60.0,
            )
        elif isinstance(self._input, ImageWithCameraInfo):
            if images < self._images_checked:  # there were some at the last check, too
                self._input.stop_waiting()
            if self._input.choice in ("", "none"):
                self.get_logger().warning(
                    f"{self._without_camera_info()}. Until it comes, features have no intrinsics",
                    throttle_duration_sec=30.0,
                )

    def _settings(self) -> dict[str, str]:
        return {
            "model": self._pipeline.model,
            "detector": self._pipeline.detector,
            "device": self._pipeline.device,
            "engine": self._pipeline.engine,
        }

    def _log_pipeline(self) -> None:
        pipeline = self._pipeline
        how = (
            "raw"
            if pipeline.booster is None
            else (f"{pipeline.model} on {pipeline.device}, {pipeline.engine}")
        )
        self.get_logger().info(f"features: {pipeline.detector}, {how}")

    # Worker's threads

    def _extract(self, received: _Received) -> _Extracted | None:
        """First stage: the features of an image; None where it was in error."""
        return self._attempt_frame(self._extract_features, received)

    def _boost(self, extracted: _Extracted) -> None:
        """Second stage: boosts and publishes."""
        if self._attempt_frame(self._publish_features, extracted):
            self._statistics.count("processed")

    def _attempt_frame(self, work: Callable[[Value], object], frame: Value) -> object:
        """What ``work`` returns; None after an error, which concerns this frame alone."""
        try:
            return work(frame)
        except ImageError as error:
            self._statistics.error(str(error))
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
        except Exception as error:
            if not rclpy.ok():  # Ctrl-C has taken the middleware away in the middle of the work
                return None
            self._statistics.error(str(error))
            self.get_logger().error(f"frame skipped: {error}", throttle_duration_sec=5.0)
            self.get_logger().debug(traceback.format_exc())
        return None

    def _extract_features(self, received: _Received) -> _Extracted:
        begin = time.perf_counter()
        pipeline, message = self._pipeline, received.image
        parameters = pipeline.parameters
        with self._statistics.stage("convert"):
            convert = to_gray if isinstance(message, Image) else compressed_to_gray
            image = convert(message, parameters.wide_pixels)
            described = self._describe(received.camera_info, image.shape, parameters.rectified)
            described.header = message.header
        with self._statistics.stage("extract"):
            features = pipeline.extract(image)
        self._statistics.record("queue", begin - received.time)
        return _Extracted(received, pipeline, features, image.shape, described, time.perf_counter())

    def _publish_features(self, extracted: _Extracted) -> bool:
        self._statistics.record("handover", time.perf_counter() - extracted.time)
        pipeline, described = extracted.pipeline, extracted.camera_info
        parameters = pipeline.parameters
        with self._statistics.stage("boost"):
            matrix = None
            if parameters.normalization == "intrinsics":
                matrix = self._camera_matrix(described)
            features = pipeline.boost(extracted.features, extracted.shape, matrix)
        with self._statistics.stage("publish"):
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
        self._statistics.record("total", time.perf_counter() - extracted.source.time)
        return True

    def _describe(
        self, camera_info: CameraInfo | None, shape: tuple[int, int], rectified: bool
    ) -> CameraInfo:
        """The CameraInfo to publish; where the camera's makes no sense, one without intrinsics.

        Features need no intrinsics, so a wrong CameraInfo is told of and the image worked on.
        """
        height, width = shape
        if camera_info is None:
            return uncalibrated(None, width, height)
        try:
            described = describe_image(camera_info, width, height, rectified)
        except CameraInfoError as error:
            self._statistics.error(str(error))
            self.get_logger().error(
                f"{error}. Going on without intrinsics", throttle_duration_sec=5.0
            )
            return uncalibrated(camera_info, width, height)
        self._uncalibrated = described.k[0] == 0
        if self._uncalibrated and not self._uncalibrated_told:
            self._uncalibrated_told = True
            self.get_logger().warning(
                f"{self._of_uncalibrated_camera()}: going on without intrinsics"
            )
        return described

    def _of_uncalibrated_camera(self) -> str:
        return (
            f"{self._camera_info_topic} is of an uncalibrated camera (k is zero): calibrate it, or "
            "work without intrinsics (-p use_camera_info:=false)"
        )

    def _camera_matrix(self, described: CameraInfo) -> np.ndarray | None:
        camera = camera_of(described)
        if camera is None:
            self.get_logger().warning(
                "normalization is by intrinsics, but they are unknown: normalizing by the "
                "image's size",
                throttle_duration_sec=30.0,
            )
        return None if camera is None else camera.matrix


def main(args: Sequence[str] | None = None) -> int:
    """Runs booster_node; the exit status."""
    sleep_at_barriers()
    return run(BoosterNode, args)
