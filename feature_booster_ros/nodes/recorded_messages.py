# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of a recorded bag that belong to an image, found by their stamps."""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from feature_booster_ros.sources.bag_topics import is_ros
from feature_booster_ros.stamps import NANOSECONDS

from .messages import stamp_of

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

# The stamp of the header that a message begins with, after four bytes that say how it is serialized
# (CDR, little-endian).
_STAMP = struct.Struct("<4xiI")


def of_topic(
    reader: Any, topic: str, start: int | None = None, stop: int | None = None
) -> Iterator[tuple[Connection, int, bytes]]:
    """Yield connection, time of recording [ns] and serialized message of a topic, in order.

    Args:
        reader: Open rosbags AnyReader.
        topic: Its name.
        start: First time of recording [ns]; None for all.
        stop: End of these times [ns], which is not one of them; None for all.
    """
    connections = [each for each in reader.connections if each.topic == topic and is_ros(each)]
    return reader.messages(connections, start, stop)


class RecordedCameraInfos:
    """The camera_infos of a topic.

    Args:
        reader: Open rosbags AnyReader.
        topic: Its name; None for no camera_info.
    """

    def __init__(self, reader: Any, topic: str | None) -> None:
        messages = of_topic(reader, topic) if topic else ()
        self._messages = sorted(
            (
                (stamp_of(deserialize_message(bytes(raw), CameraInfo)), bytes(raw))
                for _, _, raw in messages
            ),
            key=itemgetter(0),
        )

    def at(self, stamp_ns: int) -> CameraInfo | None:
        """Return that of an image's stamp, else the newest before, or the first.

        None if there is none.
        """
        if not self._messages:
            return None
        place = bisect.bisect_right(self._messages, stamp_ns, key=itemgetter(0)) - 1
        return deserialize_message(self._messages[max(place, 0)][1], CameraInfo)


class RecordedImages:
    """The images of a topic beside the one that is worked on.

    Args:
        reader: Open rosbags AnyReader.
        topic: Its name.
        image_type: Of the messages.
    """

    def __init__(self, reader: Any, topic: str, image_type: type[Image | CompressedImage]) -> None:
        self._reader, self._topic, self._type = reader, topic, image_type
        self._places: list[tuple[int, int]] = []
        for _, time_ns, raw in of_topic(reader, topic):
            seconds, nanoseconds = _STAMP.unpack_from(raw)
            self._places.append((seconds * NANOSECONDS + nanoseconds, time_ns))
        self._places.sort()

    def nearest(self, stamp_ns: int, within_ns: int) -> Image | CompressedImage | None:
        """Return the message whose stamp is next to an image's; None if it is too far away."""
        after = bisect.bisect_left(self._places, (stamp_ns, 0))
        neighbors = self._places[max(after - 1, 0) : after + 1]
        found = min(neighbors, key=lambda place: abs(place[0] - stamp_ns), default=None)
        if found is None or abs(found[0] - stamp_ns) > within_ns:
            return None
        for _, _, raw in of_topic(self._reader, self._topic, found[1], found[1] + 1):
            message = deserialize_message(bytes(raw), self._type)
            if stamp_of(message) == found[0]:
                return message
        return None
