# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pair each image with its camera_info, however the driver publishes that.

Messages of equal stamps are paired by message_filters; an image without such a counterpart is
paired with the newest camera_info of its frame and size.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from feature_booster_ros.stamps import Order, StampWatch

from .lifecycle import steady_timer
from .messages import stamp_of
from .qos import LATCHED

try:
    from message_filters import SimpleFilter, Subscriber, TimeSynchronizer
except ImportError:
    from .message_filters_substitute import SimpleFilter, Subscriber, TimeSynchronizer

_EXACT_WAIT = 0.1
"""Time that an image waits for a camera_info of its stamp, while such arrive at all [s]."""
_REPORTED_AFTER = 3
"""Images in a row whose camera_info is chosen in one way, after which that is logged."""
_LATCHED_PERIOD = 0.5
"""Time between two searches for a latched camera_info [s]."""
_KEPT = 10
"""Most images that wait, and most camera_infos whose image is yet to arrive."""


class ImageWithCameraInfo:
    """Subscribe to images and camera_info, and hand on each image once, with its camera_info.

    An image is paired with the camera_info of its stamp. If none arrives within a tenth of a
    second, it is paired with the newest of the same frame and size, and so are the next ones at
    once, until stamps are equal again: camera_info may be latched, of a lower rate, or stamped
    differently. While no camera_info has arrived at all, the newest ten images wait, until
    :meth:`stop_waiting`; then they are handed on without one.

    Not safe for threads.

    Args:
        node: That subscribes.
        image_type: sensor_msgs/Image or CompressedImage.
        image_topic: Of that type.
        camera_info_topic: Of sensor_msgs/CameraInfo; latched messages are received, too.
        callback: Takes the image and the CameraInfo, or None for no CameraInfo; must not raise,
            since message_filters would never release its lock.
        count: Takes "received" for each image, and "dropped" for each that waited for too long.
        qos: Of the image and camera_info subscriptions.
    """

    def __init__(
        self,
        node: Node,
        image_type: type,
        image_topic: str,
        camera_info_topic: str,
        callback: Callable[[Any, CameraInfo | None], None],
        count: Callable[[str], None],
        qos: QoSProfile,
    ) -> None:
        self.images = 0
        """Images received so far."""
        self.camera_infos = 0
        """CameraInfos received so far; one that arrived twice, as latched ones do, counts once."""
        self.choices: collections.Counter[str] = collections.Counter()
        """Images handed on so far, by how their camera_info was chosen: exact, newest, none."""
        self.choice = ""
        """How the last image's camera_info was chosen; empty before the first image."""
        self._node = node
        self._topics = image_topic, camera_info_topic
        self._callback = callback
        self._count = count
        self._waits = True  # for an equal stamp
        # Late camera_infos: of the stamp of an image that has been handed on with another.
        self._late_in_row = self._images_since_late = 0
        self._late_to_wait = 1  # in a row, after which waiting pays off again; doubled each time
        self._patient = True  # while there is no camera_info at all
        self._waiting: collections.deque[tuple[Any, float]] = collections.deque()
        self._recent: collections.deque[CameraInfo] = collections.deque(maxlen=_KEPT)
        self._known: dict[tuple[str, int, int], CameraInfo] = {}
        self._reported: set[str] = set()
        self._in_row = 0  # images handed on by the same choice
        self._watches = [StampWatch(lambda text: None) for _ in self._topics]
        self._connect()
        # In this order: who waits for a subscription of the images, as image_player_node does, has
        # discovered that of camera_info by then.
        self._subscribers = [
            Subscriber(node, CameraInfo, camera_info_topic, qos_profile=qos),
            Subscriber(node, image_type, image_topic, qos_profile=qos),
        ]
        self._subscribers[0].registerCallback(self._on_camera_info)
        self._subscribers[1].registerCallback(self._on_image)
        self._timer = steady_timer(node, _EXACT_WAIT / 2, self._hand_on_overdue)
        self._timer.cancel()
        self._latched_timer = steady_timer(node, _LATCHED_PERIOD, self._look_for_latched)

    @property
    def frames(self) -> list[str]:
        """The frame_id of the camera_infos that have come."""
        return sorted({frame for frame, _, _ in self._known})

    @property
    def is_waiting(self) -> bool:
        """Whether an image waits, and no camera_info has arrived that fits it."""
        return bool(self._waiting) and self._newest_for(self._waiting[0][0]) is None

    def stop_waiting(self) -> None:
        """Hand on images without camera_info as long as there is none for them."""
        self._patient = False
        self._hand_on_overdue()

    def destroy(self) -> None:
        """End the subscriptions; images that wait are forgotten."""
        self._waiting.clear()
        for timer in (self._timer, self._latched_timer):
            self._node.destroy_timer(timer)
        for subscriber in self._subscribers:
            self._node.destroy_subscription(subscriber.sub)

    def _connect(self) -> None:
        """Make a synchronizer with empty queues, fed by two filters."""
        self._filters = [SimpleFilter(), SimpleFilter()]
        TimeSynchronizer(self._filters, _KEPT).registerCallback(self._on_pair)

    def _look_for_latched(self) -> None:
        """Subscribe to a latched camera_info, too, once a publisher of such exists.

        A volatile subscription does not receive what was published before it began. One that asks
        for that would make every other publisher warn of an incompatible profile.
        """
        topic = self._topics[1]
        if any(
            publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
            for publisher in self._node.get_publishers_info_by_topic(topic)
        ):
            self._latched_timer.cancel()
            self._subscribers.append(Subscriber(self._node, CameraInfo, topic, qos_profile=LATCHED))
            self._subscribers[-1].registerCallback(self._on_camera_info)

    def _on_image(self, image: Any) -> None:
        self.images += 1
        self._count("received")
        self._waiting.append((image, time.monotonic()))
        if len(self._waiting) > _KEPT:
            self._make_room()
        self._signal(0, image)
        self._hand_on_overdue()

    def _on_camera_info(self, camera_info: CameraInfo) -> None:
        if camera_info in self._recent:  # a latched publisher reaches both subscriptions
            return
        self.camera_infos += 1
        self._recent.append(camera_info)
        key = (camera_info.header.frame_id, *_size(camera_info))
        self._known.pop(key, None)  # so that the newest is the last
        self._known[key] = camera_info
        self._signal(1, camera_info)
        self._hand_on_overdue()

    def _signal(self, topic: int, message: Any) -> None:
        """Pass a message to the synchronizer, a new one where stamps restart.

        message_filters drops the oldest stamp, so messages with later stamps from before a restart
        would displace all that arrive. It accepts no stamp before 1970.
        """
        if message.header.stamp.sec < 0:
            return
        if self._watches[topic].add(stamp_of(message)) is Order.RESTARTED:
            self._connect()
            self._watches[1 - topic].reset()
        self._filters[topic].signalMessage(message)

    def _on_pair(self, image: Any, camera_info: CameraInfo) -> None:
        if not any(waiting is image for waiting, _ in self._waiting):  # handed on before
            in_row = self._images_since_late <= 1
            self._late_in_row = self._late_in_row + 1 if in_row else 1
            self._images_since_late = 0
            self._waits = self._waits or self._late_in_row >= self._late_to_wait
            return
        # The camera_infos of the images before this one were lost, or would have arrived by now.
        while self._waiting[0][0] is not image:
            self._hand_on_first()
        self._waiting.popleft()
        self._check_frame(image.header.frame_id, camera_info.header.frame_id)
        self._hand_on(image, camera_info, "exact")

    def _check_frame(self, image_frame: str, camera_info_frame: str) -> None:
        """Warn of a pair of equal stamps and two frames, perhaps of two triggered cameras.

        The pair is accepted, since drivers may also name one camera's frame in two ways.
        """
        are_two = image_frame and camera_info_frame not in (image_frame, "")
        if are_two and "frame" not in self._reported:
            self._reported.add("frame")
            self._node.get_logger().warning(
                f"{self._topics[1]} is of frame {camera_info_frame!r}, {self._topics[0]} of "
                f"{image_frame!r}; their stamps are equal, so its intrinsics are taken. If it is "
                "another camera's, remap it (-r camera_info:=/camera/camera_info)"
            )

    def _hand_on_overdue(self) -> None:
        """Hand on the images that have waited long enough; check again while others wait."""
        while self._waiting:
            image, since = self._waiting[0]
            is_due = time.monotonic() - since >= _EXACT_WAIT or not self._waits
            if not is_due or (self._patient and self._newest_for(image) is None):
                break
            if self._waits:
                self._waits, self._late_in_row = False, 0
                self._late_to_wait *= 2
            self._hand_on_first()
        if self._waiting and self._timer.is_canceled():
            self._timer.reset()
        elif not self._waiting:
            self._timer.cancel()

    def _hand_on_first(self) -> None:
        image, _ = self._waiting.popleft()
        camera_info = self._newest_for(image)
        self._images_since_late += 1
        self._hand_on(image, camera_info, "none" if camera_info is None else "newest")

    def _make_room(self) -> None:
        """Hand on the first image that waits, or drop it if it has no camera_info."""
        if self._newest_for(self._waiting[0][0]) is None:
            self._waiting.popleft()
            self._count("dropped")
        else:
            self._hand_on_first()

    def _hand_on(self, image: Any, camera_info: CameraInfo | None, choice: str) -> None:
        self.choices[choice] += 1
        self._in_row = self._in_row + 1 if choice == self.choice else 1
        self.choice = choice
        # Not at once: the first images may arrive before the subscriptions are complete.
        if self._in_row == _REPORTED_AFTER and choice not in self._reported:
            self._reported.add(choice)
            self._report_choice(choice)
        self._callback(image, camera_info)

    def _report_choice(self, choice: str) -> None:
        image_topic, camera_info_topic = self._topics
        if choice == "exact":
            text = f"has the stamps of {image_topic}: each image is paired with its own"
        elif choice == "newest":
            text = (
                f"does not come with each image of {image_topic} (latched, of a lower rate, or "
                "stamped differently): images are paired with the newest of their frame_id"
            )
        else:
            return  # the node warns about that
        self._node.get_logger().info(f"{camera_info_topic} {text}")

    def _newest_for(self, image: Any) -> CameraInfo | None:
        """Return the newest CameraInfo of the image's frame, if possible of its size."""
        frame = image.header.frame_id
        candidates = [
            info for key, info in self._known.items() if not frame or key[0] in (frame, "")
        ]
        if isinstance(image, Image):
            fitting = [info for info in candidates if _size(info) == (image.width, image.height)]
            candidates = fitting or candidates
        return candidates[-1] if candidates else None


def _size(camera_info: CameraInfo) -> tuple[int, int]:
    """Return width and height of the images that a CameraInfo is for."""
    roi = camera_info.roi
    return (
        (roi.width or camera_info.width) // max(camera_info.binning_x, 1),
        (roi.height or camera_info.height) // max(camera_info.binning_y, 1),
    )
