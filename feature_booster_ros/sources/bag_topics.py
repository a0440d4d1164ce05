# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Choose the image topic of a bag, and the camera_info topic that belongs to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .source import logger

IMAGE = "sensor_msgs/msg/Image"
_COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
_CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
# Video packets of image_transport plugins and of Foxglove, which need the frames before them.
_VIDEO = re.compile(r"theora_image_transport/|ffmpeg_image_transport_msgs/|/CompressedVideo$")


@dataclass(frozen=True)
class BagTopics:
    """The topics of a bag.

    Attributes:
        path: The bag.
        types: Message type by topic; of a channel that ROS did not serialize with its encoding.
        counts: Number of messages by topic.
    """

    path: Path
    types: dict[str, str]
    counts: dict[str, int]

    @classmethod
    def of_reader(cls, path: Path, reader: Any) -> BagTopics:
        """List the topics of an open rosbags AnyReader."""
        topics = reader.topics
        return cls(
            path,
            {name: _message_type(entry) for name, entry in topics.items()},
            {name: entry.msgcount for name, entry in topics.items()},
        )

    def choose_image(self, wanted: str | None) -> str:
        """Return the image topic to read.

        Args:
            wanted: The topic, or the base topic of its transports; None for the only camera that
                has messages.

        Raises:
            ValueError: There is no such topic, there are several, or it has no messages.
        """
        images = self._images()
        if wanted:
            for name in (wanted, f"/{wanted}"):
                if name in images:
                    return self._with_messages(name)
            images = [name for name in images if _base_topic(name) in (wanted, f"/{wanted}")]
            if not images:
                raise ValueError(
                    f"bag {self.path} has no image topic {wanted!r}; it has {self._list_images()}"
                )
        if not images:
            listing = ", ".join(f"{name} ({self.types[name]})" for name in sorted(self.types))
            raise ValueError(
                f"bag {self.path} has no topic of sensor_msgs/Image or CompressedImage, only "
                f"{listing or 'nothing'}{self._video_remedy()}"
            )
        # Depth in compressedDepth is no image to show; a topic can be declared and never published.
        candidates = (
            [name for name in images if self.counts[name] and not name.endswith("/compressedDepth")]
            or [name for name in images if self.counts[name]]
            or images
        )
        if len({_base_topic(name) for name in candidates}) > 1:
            raise ValueError(
                f"bag {self.path} has several image topics, choose one with topic=: "
                f"{self._list_images()}"
            )
        return self._with_messages(
            min(candidates, key=lambda name: (self.types[name] != IMAGE, name))
        )

    def choose_camera_info(self, image_topic: str, wanted: str | None) -> str | None:
        """Return the camera_info topic of an image topic; None, with a warning, if it has none.

        Args:
            image_topic: The image topic.
            wanted: The topic; None for ``camera_info`` beside the image topic, empty for none.

        Raises:
            ValueError: There is no topic `wanted`.
        """
        if wanted == "":
            return None
        infos = sorted(name for name, type_ in self.types.items() if type_ == _CAMERA_INFO)
        expected = wanted or _base_topic(image_topic).rpartition("/")[0] + "/camera_info"
        for name in (expected, f"/{expected}"):
            if name in infos:
                return name
        listing = ", ".join(infos) or "none"
        if wanted:
            raise ValueError(
                f"bag {self.path} has no camera_info topic {wanted!r}; it has {listing}"
            )
        logger.warning(
            "bag %s has no %s for %s: the intrinsics are unknown; choose with camera_info_topic: "
            "%s",
            self.path,
            expected,
            image_topic,
            listing,
        )
        return None

    def _images(self) -> list[str]:
        return sorted(
            name for name, type_ in self.types.items() if type_ in (IMAGE, _COMPRESSED_IMAGE)
        )

    def _with_messages(self, topic: str) -> str:
        if not self.counts[topic]:
            raise ValueError(
                f"topic {topic} of bag {self.path} has no messages; image topics: "
                f"{self._list_images()}"
            )
        return topic

    def _list_images(self) -> str:
        listing = (
            f"{name} ({self.counts[name]} x {self.types[name].rsplit('/', 1)[1]})"
            for name in self._images()
        )
        return ", ".join(listing) or "none"

    def _video_remedy(self) -> str:
        packets = [name for name in sorted(self.types) if _VIDEO.search(self.types[name])]
        if not packets:
            return ""
        return (
            f". Video packets as in {packets[0]} ({self.types[packets[0]]}) are not read: play the "
            "bag and record what `ros2 run image_transport republish` makes raw of it"
        )


def is_ros(connection: Any) -> bool:
    """Whether messages are serialized as ROS does; connections of ROS 1 bags do not say."""
    return getattr(connection.ext, "serialization_format", "cdr") == "cdr"


def _message_type(entry: Any) -> str:
    foreign = [each for each in entry.connections if not is_ros(each)]
    if not foreign:
        # rosbags has None where connections of one topic differ in type.
        return entry.msgtype or "several types"
    return f"{foreign[0].msgtype}, {foreign[0].ext.serialization_format}"


def _base_topic(image_topic: str) -> str:
    """Return the image_transport base topic: /cam/image_raw of /cam/image_raw/compressed."""
    for transport in ("/compressed", "/compressedDepth"):
        image_topic = image_topic.removesuffix(transport)
    return image_topic
