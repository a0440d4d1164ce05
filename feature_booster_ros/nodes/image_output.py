# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Topics of images that image_player_node publishes, raw and compressed as its parameters say."""

from __future__ import annotations

import numpy as np
from rclpy.lifecycle import LifecyclePublisher
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from feature_booster_ros.depth.images import to_millimeters

from .images import to_compressed_depth, to_compressed_image, to_image, transport_topic
from .lifecycle import ManagedNode, Resources


class ImageOutput:
    """An image topic and its transports.

    Args:
        node: With the parameters image_transport and jpeg_quality.
        resources: Of the configured node.
        topic: Name of the raw topic.
        transport: Name of the compressed one below it.
    """

    def __init__(
        self, node: ManagedNode, resources: Resources, topic: str, transport: str = "compressed"
    ) -> None:
        self._node = node
        qos, transports = node.parameters.output_profile(), node.parameters.image_transport
        self._raw: LifecyclePublisher | None = None
        self._compressed: LifecyclePublisher | None = None
        if transports != "compressed":
            self._raw = resources.lifecycle_publisher(Image, topic, qos)
        if transports != "raw":
            below = transport_topic(node.resolve_topic_name(topic), transport)
            self._compressed = resources.lifecycle_publisher(CompressedImage, below, qos)

    @property
    def publishers(self) -> list[LifecyclePublisher]:
        """The publishers of the transports in use."""
        return [each for each in (self._raw, self._compressed) if each is not None]

    @property
    def is_wanted(self) -> bool:
        """Whether anybody subscribes."""
        return any(publisher.get_subscription_count() for publisher in self.publishers)

    def publish(self, image: np.ndarray, encoding: str, header: Header) -> None:
        """Publish an image (H, W) or (H, W, 3) of an encoding.

        Raises:
            ValueError: The encoding has no compressed form.
        """
        if self._raw is not None:
            self._raw.publish(to_image(image, encoding, header))
        if self._compressed is not None:
            quality = self._node.parameters.jpeg_quality
            self._compressed.publish(to_compressed_image(image, encoding, header, quality))

    def publish_depth(self, depth: np.ndarray, header: Header) -> None:
        """Publish depth (H, W) in meters as 16UC1 in millimeters."""
        image = to_millimeters(depth)
        if self._raw is not None:
            self._raw.publish(to_image(image, "16UC1", header))
        if self._compressed is not None:
            self._compressed.publish(to_compressed_depth(image, header))
