# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""rgbd_image_node: hand features to RTAB-Map, with their images and depths.

Subscribes to ``features`` (FeatureArray), ``image`` and ``depth`` (sensor_msgs/Image; depth that is
aligned to the images, where there is such); publishes ``rgbd_image`` (rtabmap_msgs/RGBDImage) and
``/diagnostics``. docs/integrations/rtabmap.md says how RTAB-Map uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from sensor_msgs.msg import Image

from feature_booster_ros.depth import DepthSensor
from feature_booster_ros.depth.images import DEPTH_WITHIN_NS
from feature_booster_ros.msg import FeatureArray

from .camera_info import camera_of
from .diagnostics import FrameMonitor
from .images import message_to_depth
from .lifecycle import ManagedNode, Resources, Work
from .messages import stamp_of, to_feature_frame
from .pairing import LONGEST_WAIT, NearestPairing
from .parameters import Change, FeatureNodeParameters, parameter
from .process import run
from .qos import RELIABILITIES, stream_profile
from .rgbd_messages import compress_matrix, import_rtabmap_msgs, to_key_points, to_points
from .workers import NewestWorker

Item = TypeVar("Item")

_KEPT = 40  # Images that are kept until their features come: those of a second at 40 Hz.


@dataclass(frozen=True)
class RgbdImageNodeParameters(FeatureNodeParameters):
    """Parameters of rgbd_image_node."""

    qos_image_reliability: str = parameter(
        "best_effort",
        "Reliability of the subscriptions to image and depth; reliable connects to reliable "
        "publishers only.",
        choices=RELIABILITIES,
        change=Change.UNCONFIGURED,
    )


class RgbdImageNode(ManagedNode):
    """Publish features as RTAB-Map takes them."""

    node_name = "rgbd_image_node"
    parameter_type = RgbdImageNodeParameters
    parameters: RgbdImageNodeParameters
    example = "-r image:=/camera/color/image_raw -r depth:=/camera/aligned_depth_to_color/image_raw"

    def configure(self, resources: Resources) -> Work:
        """Load RTAB-Map's messages and make the publisher."""
        return RgbdImageWork(self, resources)


class RgbdImageWork(Work):
    """The work of a configured rgbd_image_node."""

    def __init__(self, node: RgbdImageNode, resources: Resources) -> None:
        parameters = node.parameters
        self._messages = import_rtabmap_msgs()
        self._node = node
        self._topic = node.resolve_topic_name("features")
        self._frames = FrameMonitor(node, self._topic, parameters.diagnostics_period)
        self._publisher = resources.lifecycle_publisher(
            self._messages.RGBDImage, "rgbd_image", parameters.output_profile()
        )
        self._sensor = DepthSensor()

    def activate(self, resources: Resources) -> str:
        """Subscribe, and start the thread that converts."""
        parameters = self._node.parameters
        self._frames.activate(resources)
        worker = NewestWorker(self._process, "rgbd_image")
        resources.callback(worker.stop)

        def hand_on(pair: tuple[FeatureArray, Image], depth: Image | None) -> None:
            if worker.submit((*pair, depth)):
                self._frames.count("dropped")

        depths: NearestPairing[tuple[FeatureArray, Image], Image] = NearestPairing(
            DEPTH_WITHIN_NS, hand_on, kept=_KEPT
        )

        def add_image(message: FeatureArray, image: Image | None) -> None:
            if image is None:
                self._frames.count("dropped")
            else:
                depths.add(stamp_of(message), (message, image))

        images: NearestPairing[FeatureArray, Image] = NearestPairing(0, add_image, kept=_KEPT)

        def receive(message: FeatureArray) -> None:
            self._frames.count("received")
            images.add(stamp_of(message), message)

        self._subscribe(resources, "image", images)
        self._subscribe(resources, "depth", depths)
        resources.subscription(FeatureArray, "features", receive, parameters.input_profile())
        topics = [self._node.resolve_topic_name(name) for name in ("image", "depth")]
        return f"waiting for {self._topic}, {topics[0]} and, where there is such, {topics[1]}"

    def _subscribe(
        self, resources: Resources, topic: str, pairing: NearestPairing[Item, Image]
    ) -> None:
        """Give the messages of a topic to a pairing, as companions of its items."""
        parameters = self._node.parameters
        qos = stream_profile(parameters.qos_image_reliability, parameters.qos_input_depth)
        resources.callback(pairing.clear)
        resources.timer(LONGEST_WAIT / 2, pairing.hand_on_decided)
        resources.subscription(
            Image, topic, lambda image: pairing.add_companion(stamp_of(image), image), qos
        )

    # Worker's thread

    def _process(self, item: tuple[FeatureArray, Image, Image | None]) -> None:
        message, image, depth = item
        with self._frames.skip_on_error():
            with self._frames.stage("convert"):
                rgbd_image = self._to_rgbd_image(message, image, depth)
            with self._frames.stage("publish"):
                self._publisher.publish(rgbd_image)
            self._frames.count("processed")

    def _to_rgbd_image(self, message: FeatureArray, image: Image, depth: Image | None) -> object:
        camera = camera_of(message.camera_info)
        limit = self._node.parameters.max_input_features
        frame = to_feature_frame(message, camera, limit)
        features = frame.features
        if features.depths is None and depth is not None:
            features = self._sensor.read_aligned(features, message_to_depth(depth), frame.shape)
        result = self._messages.RGBDImage(
            header=message.header, rgb=image, rgb_camera_info=message.camera_info
        )
        if depth is not None:
            result.depth, result.depth_camera_info = depth, message.camera_info
        if len(features):
            result.key_points = to_key_points(features, frame.detector, self._messages)
            result.descriptors = compress_matrix(features.descriptors)
            if camera is not None:
                result.points = to_points(features, camera, self._messages)
        return result


def main(args: Sequence[str] | None = None) -> int:
    """Run rgbd_image_node; return the exit status."""
    return run(RgbdImageNode, args)
