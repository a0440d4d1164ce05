# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is used here of message_filters, which is not among the ROS 2 packages on PyPI.

Same call signatures and behavior as the classes of those names there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.time import Time


class SimpleFilter:
    """Pass messages on to the callbacks registered with it."""

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
    """A subscription as a filter; takes the arguments of ``Node.create_subscription``."""

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
    """Pass on the messages of all filters that have the same stamp.

    Each filter's last ``queue_size`` messages by stamp are kept.
    """

    def __init__(self, fs: list[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.queues: list[dict[int, Any]] = [{} for _ in fs]
        for source, queue in zip(fs, self.queues, strict=True):
            source.registerCallback(self.add, queue)

    def add(self, msg: Any, my_queue: dict[int, Any]) -> None:
        with self.lock:
            stamp = Time.from_msg(msg.header.stamp).nanoseconds
            my_queue[stamp] = msg
            while len(my_queue) > self.queue_size:
                del my_queue[min(my_queue)]
            if all(stamp in queue for queue in self.queues):
                self.signalMessage(*(queue.pop(stamp) for queue in self.queues))
