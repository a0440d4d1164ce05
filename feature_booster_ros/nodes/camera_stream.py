# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The topics of one camera of booster_node: images, camera_info and depth, and its features."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from feature_booster_ros.features import Features
from feature_booster_ros.msg import FeatureArray
from feature_booster_ros.stamps import Order, StampWatch

from .booster_node_parameters import BoosterNodeParameters
from .depth_input import DepthInput
from .depth_messages import Measured
from .diagnostics import FrameMonitor, MissingFrames
from .image_input import ImageInput
from .lifecycle import ManagedNode, Resources
from .messages import stamp_of


@dataclass(frozen=True)
class ReceivedImage:
    """An image that waits, what measured its depth, and when it arrived by time.perf_counter()."""

    camera: CameraStream
    image: Image | CompressedImage
    camera_info: CameraInfo | None
    measured: Measured | None
    time: float


class CameraStream:
    """Receive the images of one camera, publish their features, and report how both fare.

    Args:
        node: booster_node.
        resources: Of the configured node.
        name: Of the camera, which the names of its topics begin with; empty for the only camera.
        problem: Returns what is wrong with the node as a whole; empty if nothing is.
        values: Returns what to publish on /diagnostics beside the counts.
    """

    def __init__(
        self,
        node: ManagedNode,
        resources: Resources,
        name: str,
        problem: Callable[[], str],
        values: Callable[[], dict[str, str]],
    ) -> None:
        self._node = node
        self._problem = problem
        self._publisher = resources.lifecycle_publisher(
            FeatureArray, posixpath.join(name, "features"), node.parameters.output_profile()
        )
        self._input = ImageInput(node, node.parameters, name)
        self._depth = (
            None
            if node.parameters.depth_input == "none"
            else DepthInput(node, node.parameters, name)
        )
        self.frames = FrameMonitor(
            node,
            self._input.topic,
            node.parameters.diagnostics_period,
            self._condition,
            lambda: {
                **values(),
                **self._input.values(),
                **(self._depth.values() if self._depth else {}),
            },
            name,
        )
        """Counts, times and errors of the images; to be used from any thread."""

    def activate(
        self, resources: Resources, submit: Callable[[ReceivedImage, CameraStream], bool]
    ) -> str:
        """Subscribe to the images.

        Args:
            resources: Of the activation.
            submit: Takes an image and its camera; returns whether one that waited was dropped.

        Returns:
            The topics that are waited for, in words.
        """
        self.frames.activate(resources)
        self._submit = submit
        self._stamps = StampWatch(
            self.frames.warn,
            unusable="features are published, but odometry_node leaves them out",
            restart="going on",
        )
        self._missing = MissingFrames()
        if self._depth is None:
            return self._input.activate(resources, self._receive, self.frames)
        # Before the images: who waits for a subscription of these has discovered that of depth.
        measuring = self._depth.activate(resources, self._receive, self.frames)
        return f"{self._input.activate(resources, self._depth.add, self.frames)}, {measuring}"

    def describe(
        self, received: ReceivedImage, shape: tuple[int, int], rectified: bool
    ) -> CameraInfo:
        """Return the CameraInfo to publish with the features of an image; from any thread.

        Args:
            received: The image.
            shape: Its (height, width).
            rectified: Whether it is rectified.
        """
        described = self._input.describe(received.camera_info, shape, rectified)
        described.header = received.image.header
        return described

    def measure_depth(
        self,
        features: Features,
        received: ReceivedImage,
        image: np.ndarray,
        parameters: BoosterNodeParameters,
    ) -> Features:
        """Return the features with their depths, where these are known; from any thread.

        Args:
            features: Of the image.
            received: The image as received.
            image: (H, W) uint8.
            parameters: Of the node, as they are now.
        """
        if self._depth is None:
            return features
        return self._depth.measure(
            features, image, received.camera_info, received.measured, parameters
        )

    def publish(self, features: FeatureArray) -> None:
        """Publish the features of an image; from any thread."""
        self._publisher.publish(features)

    def _receive(
        self,
        image: Image | CompressedImage,
        camera_info: CameraInfo | None,
        measured: Measured | None = None,
    ) -> None:
        stamp_ns = stamp_of(image)
        order = self._stamps.add(stamp_ns)
        self.frames.count_order(order)
        if order is Order.RISING:
            self.frames.count_missing(self._missing.add(stamp_ns))
        if self._node.parameters.lazy and self._publisher.get_subscription_count() == 0:
            self.frames.count("idle")
            return
        received = ReceivedImage(self, image, camera_info, measured, time.perf_counter())
        if self._submit(received, self):
            self.frames.count("dropped")

    def _condition(self) -> tuple[bytes, str]:
        problem = self._input.problem() or self._problem()
        if not problem and self._depth is not None:
            problem = self._depth.problem()
        return (DiagnosticStatus.WARN, problem) if problem else (DiagnosticStatus.OK, "running")
