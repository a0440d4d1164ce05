# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of image and camera_info, by message_filters.

Where message_filters is not installed (it is not among the ROS 2 packages on PyPI), the few classes
of it that are used here stand in, with the same call signatures and behaviour.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo

try:
    from message_filters import (
        ApproximateTimeSynchronizer,
        SimpleFilter,
        Subscriber,
        TimeSynchronizer,
    )
except ImportError:

    class SimpleFilter:
        """Passes messages on to the callbacks registered with it."""

        def __init__(self) -> None:
            self.callbacks: dict[int, tuple[Callable, tuple]] = {}

        def registerCallback(self, cb: Callable, *args: Any) -> int:  # noqa: N802
            connection = len(self.callbacks)
            self.callbacks[connection] = (cb, args)
            return connection

        def signalMessage(self, *msg: Any) -> None:  # noqa: N802
            for callback, args in list(self.callbacks.values()):
                callback(*msg, *args)

    class Subscriber(SimpleFilter):
        """A subscription as a filter; ``Node.create_subscription``'s arguments but the callback."""

        def __init__(
            self, node: Node, msg_type: type, topic: str, qos_profile: Any = 10, **kwargs: Any
        ) -> None:
            super().__init__()
            self.node = node
            self.topic = topic
            self.sub = node.create_subscription(
                msg_type, topic, self.callback, qos_profile=qos_profile, **kwargs
            )

        def callback(self, msg: Any) -> None:
            self.signalMessage(msg)

    class TimeSynchronizer(SimpleFilter):
        """Passes on the messages of all filters that have the same stamp.

        Each filter's last ``queue_size`` messages by stamp are kept.
        """

        def __init__(self, fs: list[SimpleFilter], queue_size: int) -> None:
            super().__init__()
            self.queue_size = queue_size
            self.lock = threading.Lock()
            self.queues: list[dict[int, Any]] = [{} for _ in fs]
            for index, (source, queue) in enumerate(zip(fs, self.queues, strict=True)):
                source.registerCallback(self.add, queue, index)

        def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int) -> None:
            with self.lock:
                stamp = Time.from_msg(msg.header.stamp).nanoseconds
                my_queue[stamp] = msg
                while len(my_queue) > self.queue_size:
                    del my_queue[min(my_queue)]
                matching = self._matching(stamp, my_queue_index)
                if matching is None:
                    return
                self.signalMessage(
                    *(queue.pop(key) for queue, key in zip(self.queues, matching, strict=True))
                )

        def _matching(self, stamp: int, index: int) -> list[int] | None:
            """The stamp in each queue that goes with the new one, or None while one is missing."""
            if all(stamp in queue for queue in self.queues):
                return [stamp] * len(self.queues)
            return None

    class ApproximateTimeSynchronizer(TimeSynchronizer):
        """Passes on the messages of all filters whose stamps lie within ``slop`` seconds."""

        def __init__(
            self,
            fs: list[SimpleFilter],
            queue_size: int,
            slop: float,
            allow_headerless: bool = False,
        ) -> None:
            if allow_headerless:
                raise NotImplementedError(
                    "messages without a header need the message_filters package"
                )
            super().__init__(fs, queue_size)
            self.slop = int(slop * 1e9)

        def _matching(self, stamp: int, index: int) -> list[int] | None:
            nearest = []
            for i, queue in enumerate(self.queues):
                if i == index:
                    nearest.append(stamp)
                elif queue:
                    nearest.append(min(queue, key=lambda other: abs(other - stamp)))
                else:
                    return None
            return nearest if max(nearest) - min(nearest) <= self.slop else None


class ImageWithCameraInfo:
    """Subscriptions to an image topic and its camera_info, whose messages are handed on in pairs.

    Unpaired messages are kept, the newest ``queue_size`` of each topic. When stamps go back (a bag
    that loops, a clock that is set), what is kept is forgotten: message_filters drops the oldest
    stamp, so leftovers of the future would push out all that comes.

    Args:
        node: that subscribes.
        image_type: sensor_msgs/Image or CompressedImage.
        image_topic: of that type.
        camera_info_topic: of sensor_msgs/CameraInfo.
        callback: takes the image and the CameraInfo; must not raise, as message_filters would hold
            its lock for ever.
        qos: of both subscriptions.
        queue_size: unpaired messages kept of each topic.
        slop: largest difference of the stamps in seconds, or None for equal stamps.
        callback_group: of both subscriptions; None for the node's own.
    """

    def __init__(
        self,
        node: Node,
        image_type: type,
        image_topic: str,
        camera_info_topic: str,
        callback: Callable[[Any, CameraInfo], None],
        qos: QoSProfile,
        queue_size: int = 10,
        slop: float | None = None,
        callback_group: CallbackGroup | None = None,
    ) -> None:
        self.images = 0
        """Images received so far."""
        self.camera_infos = 0
        """CameraInfos received so far."""
        self.pairs = 0
        """Pairs handed on so far."""
        self._node = node
        self._callback = callback
        self._queue_size = queue_size
        self._slop = slop
        self._newest = [0, 0]
        self._connect()
        options = {"qos_profile": qos, "callback_group": callback_group}
        self._image = Subscriber(node, image_type, image_topic, **options)
        self._camera_info = Subscriber(node, CameraInfo, camera_info_topic, **options)
        self._image.registerCallback(self._on_image)
        self._camera_info.registerCallback(self._on_camera_info)

    def destroy(self) -> None:
        """Ends both subscriptions."""
        self._node.destroy_subscription(self._image.sub)
        self._node.destroy_subscription(self._camera_info.sub)

    def _connect(self) -> None:
        """A synchroniser with empty queues, fed by two filters of its own."""
        self._image_filter = SimpleFilter()
        self._camera_info_filter = SimpleFilter()
        filters = [self._image_filter, self._camera_info_filter]
        if self._slop is None:
            synchronizer = TimeSynchronizer(filters, self._queue_size)
        else:
            synchronizer = ApproximateTimeSynchronizer(filters, self._queue_size, self._slop)
        synchronizer.registerCallback(self._on_pair)

    def _on_image(self, image: Any) -> None:
        self.images += 1
        self._watch_stamps(0, image)
        self._image_filter.signalMessage(image)

    def _on_camera_info(self, camera_info: CameraInfo) -> None:
        self.camera_infos += 1
        self._watch_stamps(1, camera_info)
        self._camera_info_filter.signalMessage(camera_info)

    def _watch_stamps(self, topic: int, message: Any) -> None:
        """Starts anew where the stamps of one topic go back; the other's will, or did."""
        stamp = Time.from_msg(message.header.stamp).nanoseconds
        # Within a second, it is reordering by the network rather than a jump of the clock.
        if stamp < self._newest[topic] - 1_000_000_000:
            self._connect()
            self._newest = [stamp, stamp]
        self._newest[topic] = max(self._newest[topic], stamp)

    def _on_pair(self, image: Any, camera_info: CameraInfo) -> None:
        self.pairs += 1
        self._callback(image, camera_info)
