# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ROS bags, read with the pure Python package rosbags: no ROS installation is needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..camera import Calibration, Camera, is_rectified_topic
from ..depth import RightImage, to_meters
from ..depth.images import DEPTH_WITHIN_NS, check_depth_size, decode_compressed_depth
from ..depth.rig import RIGHT_WITHIN_NS
from ..pixels import decode_compressed, decode_raw
from ..stamps import NANOSECONDS, StampWatch, frame_rate, in_order
from .bag_files import looks_like_bag, open_bag
from .bag_topics import IMAGE, BagTopics, is_ros
from .image_sequence import existing
from .source import Frame, Source, logger

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Messages from which the frame rate is estimated.
_RATE_SAMPLE = 32
# Stamps of which camera_info is kept, to find the one of an image recorded before or after it.
_KEPT_STAMPS = 100
# Depth and right images that are kept, to find the one of an image; images wait in eight places
# to be put in order.
_KEPT_BESIDE = 20


class _CameraInfo(NamedTuple):
    """A CameraInfo message: the camera if it is calibrated, and the image size, 0 if unknown."""

    calibration: Calibration | None
    camera: Camera | None
    width: int
    height: int

    def fits(self, image: np.ndarray) -> bool:
        """Whether it may be that of an image."""
        return (self.width, self.height) in ((0, 0), image.shape[1::-1])


class _Image(NamedTuple):
    """An image message, and the newest CameraInfo of each image size when it was recorded."""

    stamp_ns: int
    message: Any
    camera_infos: tuple[_CameraInfo, ...]


@dataclass
class _Beside:
    """What was recorded beside the latest images: depth and right images by their stamps."""

    depths: deque[tuple[int, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT_BESIDE))
    rights: deque[tuple[int, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT_BESIDE))
    right_info: _CameraInfo | None = None


class RosbagSource(Source):
    """One image topic of a rosbag2 (mcap or sqlite3) or of a ROS 1 bag.

    Frames are stamped with their header, or with the time of recording where the header has none,
    and put in the order of their stamps where a few were recorded in another.
    Intrinsics are those of the camera_info of the same namespace that fits the size of the image,
    if any does: that of the image's stamp, recorded before or after it, else the newest.

    Args:
        target: A rosbag2 folder, a single .mcap or .db3 file, or a .bag file.
        camera: Calibration to use instead of the bag's.
        topic: The image topic (sensor_msgs/Image or CompressedImage); may be left out where only
            one camera has messages. Of one that was recorded both raw and compressed, raw is taken.
        camera_info_topic: By default ``camera_info`` beside the image topic. An empty string: none.
        rectified: Whether the images have been rectified, so that P of camera_info holds for them;
            by default where the topic is named as image_pipeline names such images (image_rect).
        depth_topic: Topic of depth images that are aligned to the images, at most 20 ms away.
        right_topic: Image topic of the right camera of a stereo pair, at most 5 ms away, with its
            ``camera_info`` beside it.

    Raises:
        FileNotFoundError: The path does not exist.
        ImportError: The package rosbags is not installed.
        ValueError: It is no bag or a damaged one, or the topic is not there or not unambiguous.
    """

    kind = "rosbag"
    layout = "metadata.yaml with .mcap or .db3 files, or such a file, or .bag"

    def __init__(
        self,
        target: str,
        *,
        camera: Camera | None = None,
        topic: str | None = None,
        camera_info_topic: str | None = None,
        rectified: bool | None = None,
        depth_topic: str | None = None,
        right_topic: str | None = None,
    ) -> None:
        path = existing(target)
        super().__init__(str(path), camera)
        self._warned_of_camera_info = False
        self._reader = open_bag(path)
        try:
            topics = BagTopics.of_reader(path, self._reader)
            self.topic = topics.choose_image(topic)
            self._length = topics.counts[self.topic]
            self._depth_topic = topics.choose_image(depth_topic) if depth_topic else None
            self._right_topic = topics.choose_image(right_topic) if right_topic else None
            self._right_info_topic = (
                topics.choose_camera_info(self._right_topic, None) if self._right_topic else None
            )
            self._rectified = is_rectified_topic(self.topic) if rectified is None else rectified
            self._camera_info_topic = None
            self._first_camera_info: tuple[_CameraInfo, ...] = ()
            if camera is not None:
                self.camera = camera.as_rectified() if self._rectified else camera
            else:
                self._camera_info_topic = topics.choose_camera_info(self.topic, camera_info_topic)
            if self._camera_info_topic:
                messages = islice(self._messages([self._camera_info_topic]), 1)
                self._first_camera_info = tuple(self._camera_info(each) for _, _, each in messages)
                self.camera = next((each.camera for each in self._first_camera_info), None)
            self._rate = frame_rate(
                [
                    _stamp_ns(message, time_ns)
                    for _, time_ns, message in islice(self._messages([self.topic]), _RATE_SAMPLE)
                ]
            )
        except BaseException:
            self._reader.close()
            raise

    @classmethod
    def recognizes(cls, target: str) -> bool:
        """Whether the target looks like a source of this kind."""
        return looks_like_bag(Path(target).expanduser())

    @property
    def length(self) -> int:
        return self._length

    @property
    def rate(self) -> float | None:
        return self._rate

    @property
    def has_depth(self) -> bool:
        return self._depth_topic is not None

    @property
    def has_right(self) -> bool:
        return self._right_topic is not None

    def close(self) -> None:
        self._reader.close()

    def _read(self, start: int, step: int) -> Iterator[Frame]:
        by_stamp: dict[int, list[_CameraInfo]] = {}
        beside = _Beside()
        images = in_order(self._images(by_stamp, beside), stamp_of=itemgetter(0))
        for index, (stamp_ns, message, newest) in islice(enumerate(images), start, None, step):
            name = f"{self.topic}[{index}]"
            try:
                image = _decode(message)
            except ValueError as error:
                self._skip(name, str(error))
                continue
            recorded = None
            camera_infos = [*by_stamp.get(stamp_ns, ()), *newest]
            if camera_infos:
                fitting = (each for each in camera_infos if each.fits(image))
                camera_info = next(fitting, camera_infos[0])
                recorded, self.camera = camera_info.calibration, camera_info.camera
            frame = self._frame(
                stamp_ns,
                image,
                name,
                frame_id=message.header.frame_id,
                recorded=recorded,
                read_depth=partial(
                    _read_depth, _nearest(beside.depths, stamp_ns, DEPTH_WITHIN_NS), image.shape[:2]
                ),
                read_right=partial(
                    self._read_right,
                    _nearest(beside.rights, stamp_ns, RIGHT_WITHIN_NS),
                    beside.right_info,
                ),
            )
            if frame is not None:
                yield frame

    def _read_right(self, message: Any, camera_info: _CameraInfo | None) -> RightImage | None:
        if message is None:
            return None
        camera = None if camera_info is None else camera_info.camera
        return RightImage(_decode(message), camera, str(self._right_topic))

    def _images(self, by_stamp: dict[int, list[_CameraInfo]], beside: _Beside) -> Iterator[_Image]:
        """Yield the images in the order of recording; fill in what was recorded beside them."""
        watch = StampWatch(
            lambda text: logger.warning("%s: %s", self.name, text),
            unusable="frames are played in the order of their stamps",
            restart="going on",
        )
        newest = self._first_camera_info
        delivered = 0
        topics = [self.topic, self._camera_info_topic, *self._topics_beside()]
        for topic, time_ns, message in self._messages([topic for topic in topics if topic]):
            stamp_ns = _stamp_ns(message, time_ns)
            if topic == self._depth_topic:
                beside.depths.append((stamp_ns, message))
            if topic == self._right_topic:
                beside.rights.append((stamp_ns, message))
            if topic == self._right_info_topic:
                beside.right_info = self._camera_info(message)
            if topic in self._topics_beside():
                continue
            if topic == self._camera_info_topic:
                camera_info = self._camera_info(message)
                others = (each for each in newest if each[2:] != camera_info[2:])
                newest = (camera_info, *others)
                by_stamp.setdefault(stamp_ns, []).append(camera_info)
                if len(by_stamp) > _KEPT_STAMPS:
                    del by_stamp[next(iter(by_stamp))]
                continue
            watch.add(stamp_ns)
            delivered += 1
            yield _Image(stamp_ns, message, newest)
        if delivered < self._length:
            logger.warning(
                "bag %s announces %d messages on %s and delivers %d: write its index again with "
                "`mcap recover`, or with `ros2 bag reindex` for sqlite3",
                self.name,
                self._length,
                self.topic,
                delivered,
            )

    def _topics_beside(self) -> tuple[str | None, ...]:
        return self._depth_topic, self._right_topic, self._right_info_topic

    def _messages(self, topics: list[str]) -> Iterator[tuple[str, int, Any]]:
        """Yield topic, time of recording in ns and message, in the order of recording."""
        connections = [
            connection
            for connection in self._reader.connections
            if connection.topic in topics and is_ros(connection)
        ]
        try:
            for connection, time_ns, raw in self._reader.messages(connections):
                if bytes(raw[:4]) == _ZSTD_MAGIC:
                    raise ValueError(
                        "each message is compressed, which only its metadata.yaml says: bring that "
                        "file back, with compression_format and compression_mode"
                    )
                message = self._reader.deserialize(raw, connection.msgtype)
                yield connection.topic, time_ns, message
        except GeneratorExit:
            raise
        except Exception as error:
            # The storages raise whatever their parser ran into (struct.error, sqlite3.Error, ...).
            reason = str(error) or type(error).__name__
            raise ValueError(f"bag {self.name} is damaged: {reason}") from error

    def _camera_info(self, message: Any) -> _CameraInfo:
        """Return what a CameraInfo says; nothing, with one warning, if it makes no sense."""
        calibration = Calibration.of_message(message)
        try:
            camera = Camera.of_calibration(calibration, self._rectified)
            if camera is not None:
                return _CameraInfo(calibration, camera, camera.width, camera.height)
            size = calibration.of_image()
            return _CameraInfo(calibration, None, size.width, size.height)
        except ValueError as error:
            if not self._warned_of_camera_info:
                logger.warning(
                    "%s is of no use, the intrinsics are unknown: %s (camera= gives others)",
                    self._camera_info_topic,
                    error,
                )
            self._warned_of_camera_info = True
            return _CameraInfo(None, None, 0, 0)


def _nearest(messages: deque[tuple[int, Any]], stamp_ns: int, within_ns: int) -> Any:
    """Return the message whose stamp is next to that of an image; None if it is too far away."""
    distance_ns, message = min(
        ((abs(other_ns - stamp_ns), message) for other_ns, message in messages),
        key=itemgetter(0),
        default=(within_ns + 1, None),
    )
    return message if distance_ns <= within_ns else None


def _read_depth(message: Any, shape: tuple[int, int]) -> np.ndarray | None:
    if message is None:
        return None
    if message.__msgtype__ != IMAGE and "compresseddepth" in message.format.lower():
        depth = to_meters(decode_compressed_depth(message.data, message.format))
    else:
        depth = to_meters(_decode(message))
    check_depth_size(depth, shape)
    return depth


def _stamp_ns(message: Any, time_ns: int) -> int:
    """Return the header's stamp, or the time of recording where that is unset or before 1970."""
    stamp = message.header.stamp
    stamp_ns = stamp.sec * NANOSECONDS + stamp.nanosec
    return stamp_ns if stamp_ns > 0 else time_ns


def _decode(message: Any) -> np.ndarray:
    if message.__msgtype__ == IMAGE:
        image = decode_raw(
            message.data,
            message.encoding,
            message.width,
            message.height,
            message.step,
            bool(message.is_bigendian),
        )
        return np.require(image, requirements=("C", "W"))
    return decode_compressed(message.data, message.format)
