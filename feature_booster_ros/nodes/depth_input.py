# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What measures the depth of booster_node's features: depth images, or the right camera's."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from feature_booster_ros.depth import DepthSensor
from feature_booster_ros.depth.images import DEPTH_WITHIN_NS
from feature_booster_ros.depth.rig import RIGHT_WITHIN_NS
from feature_booster_ros.features import Features

from .booster_node_parameters import BoosterNodeParameters
from .depth_messages import Measured, measure_depth
from .diagnostics import FrameMonitor
from .images import transport_topic
from .lifecycle import ManagedNode, Resources
from .messages import stamp_of
from .pairing import LONGEST_WAIT, NearestPairing
from .qos import why_incompatible
from .synchronization import ImageWithCameraInfo

_CHECK_PERIOD = 5.0  # Time after which depth that does not come is reported [s].
_FEWEST_JUDGED = 10  # Fewer images tell no share of those without depth.
_LARGEST_SHARE_MISSING = 0.1  # Share of images without depth above which it is a warning.
_REPORTED_AFTER = 3  # Images in a row without depth, after which that is a warning.

Receive = Callable[[Image | CompressedImage, CameraInfo | None, Measured | None], None]
_ImageAndInfo = tuple[Image | CompressedImage, CameraInfo | None]


class DepthInput:
    """The topics that tell the depth of a camera's features.

    A missing or unusable message costs the depth of its image, never the image.

    Args:
        node: That subscribes.
        parameters: Of the node, as it is configured; ``depth_input`` is not none.
        camera: Name that the topics begin with; empty for ``depth`` and ``right`` themselves.
    """

    def __init__(
        self, node: ManagedNode, parameters: BoosterNodeParameters, camera: str = ""
    ) -> None:
        self._node = node
        self._parameters = parameters
        self._is_stereo = parameters.depth_input == "stereo"
        is_compressed = parameters.image_transport == "compressed"
        self._type: type = CompressedImage if is_compressed else Image
        if self._is_stereo:
            self._name, transport = posixpath.join(camera, "right/image"), "compressed"
        else:
            self._name, transport = posixpath.join(camera, "depth"), "compressedDepth"
        self._topic = transport_topic(
            node.resolve_topic_name(self._name), transport if is_compressed else "raw"
        )
        self._camera_info_topic = node.resolve_topic_name(
            posixpath.join(camera, "right/camera_info")
        )
        self._sensor = DepthSensor(parameters.depth_settings())
        self._right: ImageWithCameraInfo | None = None

    def activate(self, resources: Resources, receive: Receive, frames: FrameMonitor) -> str:
        """Subscribe, and check the input from time to time.

        Args:
            resources: Of the activation.
            receive: Takes each image, its CameraInfo or None, and what was measured at its time, or
                None without that.
            frames: Of the images; reports errors.

        Returns:
            The topics that are waited for, in words.
        """
        self._frames = frames
        self._unseen_in_row = 0
        self._share = float("nan")
        self._pairing: NearestPairing[_ImageAndInfo, Measured] = NearestPairing(
            RIGHT_WITHIN_NS if self._is_stereo else DEPTH_WITHIN_NS,
            lambda image, measured: receive(*image, measured),
        )
        resources.callback(self._pairing.clear)
        resources.timer(LONGEST_WAIT / 2, self._pairing.hand_on_decided)
        resources.timer(_CHECK_PERIOD, self._report_problem)
        qos = self._parameters.input_profile()
        if not self._is_stereo:
            resources.subscription(
                self._type, self._topic, lambda depth: self._receive(depth, None), qos
            )
            return self._topic
        self._right = ImageWithCameraInfo(
            self._node,
            self._type,
            self._topic,
            self._camera_info_topic,
            self._receive,
            lambda event: None,
            qos,
        )
        resources.callback(self._right.destroy)
        return f"{self._topic} and {self._camera_info_topic}"

    def add(self, image: Image | CompressedImage, camera_info: CameraInfo | None) -> None:
        """Take an image, to be handed on with what was measured at its time."""
        self._pairing.add(stamp_of(image), (image, camera_info))

    def measure(
        self,
        features: Features,
        image: np.ndarray,
        camera_info: CameraInfo | None,
        measured: Measured | None,
        parameters: BoosterNodeParameters,
    ) -> Features:
        """Return the features with depths, or unchanged where nothing tells them; from any thread.

        Args:
            features: Of the image.
            image: (H, W) uint8.
            camera_info: Of the image, as published by its driver.
            measured: At the time of the image.
            parameters: Of the node, as they are now.
        """
        if measured is None:
            return features
        if self._sensor.settings != parameters.depth_settings():
            self._sensor = DepthSensor(parameters.depth_settings())
        try:
            features = measure_depth(
                self._sensor, features, image, camera_info, measured, parameters
            )
        except ValueError as error:
            self._frames.report(error, f"going on without the depth of {self._topic}")
            return features
        if features.depths is not None and len(features):
            self._share = float(np.isfinite(features.depths).mean())
            self._unseen_in_row = self._unseen_in_row + 1 if self._share == 0 else 0
        return features

    def values(self) -> dict[str, str]:
        """Return how depth fares, for /diagnostics."""
        values = {
            "frames_with_depth": str(self._pairing.paired),
            "frames_without_depth": str(self._pairing.missing),
        }
        return values if np.isnan(self._share) else {**values, "depth_share": f"{self._share:.2f}"}

    def problem(self) -> str:
        """Return why the latest images have no depth and what to do; empty if they have it."""
        latest = list(self._pairing.latest)
        if len(latest) >= _REPORTED_AFTER and not any(latest[-_REPORTED_AFTER:]):
            return f"no depth: {self._why_missing()}"
        if len(latest) >= _FEWEST_JUDGED and np.mean(latest) < 1 - _LARGEST_SHARE_MISSING:
            return (
                f"{len(latest) - sum(latest)} of the latest {len(latest)} images have no depth: "
                f"images of {self._topic} are lost in the middleware (docs/reliability.md), or "
                "are stamped otherwise"
            )
        if self._unseen_in_row < _REPORTED_AFTER:
            return ""
        if self._is_stereo:
            return (
                f"no depth: no feature is found on {self._topic}: are both images of one moment, "
                "is the pair calibrated, and the parameter rectified as its images are?"
            )
        return f"no depth: the images on {self._topic} have none at any feature: are they empty?"

    def _why_missing(self) -> str:
        """Return why the latest images have no counterpart that tells depth, and what to do."""
        nearest_ns = self._pairing.nearest_ns
        if nearest_ns is not None:
            within_ns = RIGHT_WITHIN_NS if self._is_stereo else DEPTH_WITHIN_NS
            return (
                f"the nearest stamp on {self._topic} is {nearest_ns * 1e-9:.3f} s from that of the "
                f"image, more than {within_ns * 1e-9:g} s: it has stopped, or the driver is to "
                "synchronize the two"
            )
        if reason := why_incompatible(
            self._node, self._topic, self._parameters.qos_input_reliability
        ):
            return reason
        if self._right is not None and self._right.is_waiting:
            name = self._name.replace("image", "camera_info")
            return (
                f"images come on {self._topic}, but nothing on {self._camera_info_topic}: remap it "
                f"(-r {name}:=/camera/{name})"
            )
        return f"nothing comes on {self._topic}: remap it (-r {self._name}:=/camera/{self._name})"

    def _receive(self, image: Image | CompressedImage, camera_info: CameraInfo | None) -> None:
        self._pairing.add_companion(stamp_of(image), Measured(image, camera_info))

    def _report_problem(self) -> None:
        if problem := self.problem():
            self._frames.log.warning(f"{problem}. Going on without", throttle_duration_sec=30.0)
