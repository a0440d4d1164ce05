# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ROS bags, read with the pure Python package rosbags: no ROS installation is needed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from ..camera import Calibration, Camera, is_rectified_topic
from ..pixels import decode_compressed, decode_raw
from ..stamps import NANOSECONDS, StampWatch, frame_rate, in_order
from .frame import Frame
from .image_sequence import existing
from .source import Source, logger

_IMAGE = "sensor_msgs/msg/Image"
_COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
_CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_STORAGE_SUFFIXES = (".mcap", ".db3")
_FILE_SUFFIXES = (*_STORAGE_SUFFIXES, ".bag")
# So many messages are looked at for the frame rate.
_RATE_SAMPLE = 32


class RosbagSource(Source):
    """One image topic of a rosbag2 (mcap or sqlite3) or of a ROS 1 bag.

    Frames are stamped with their header, or with the time of recording where the header has none,
    and put in the order of their stamps where a few were recorded in another.
    Intrinsics are those that the camera_info topic of the same namespace had at the time.

    Args:
        target: A rosbag2 folder, a single .mcap or .db3 file, or a .bag file.
        camera: Calibration to use instead of the bag's.
        topic: The image topic (sensor_msgs/Image or CompressedImage); may be left out where there
            is only one. Of a camera that was recorded both raw and compressed, raw is taken.
        camera_info_topic: By default ``camera_info`` beside the image topic. An empty string: none.
        rectified: Whether the images have been rectified, so that P of camera_info holds for them;
            by default where the topic is named as image_pipeline names such images (image_rect).

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
    ) -> None:
        path = existing(target)
        super().__init__(str(path), camera)
        self._told_of_camera_info = False
        self._reader = _open_reader(path)
        try:
            topics = {name: entry.msgtype for name, entry in self._reader.topics.items()}
            self.topic = _choose_topic(path, topics, topic)
            self._rectified = is_rectified_topic(self.topic) if rectified is None else rectified
            if self._rectified and camera is not None:
                camera = camera.as_rectified()
            self._camera_info_topic = None
            if camera is None:
                self._camera_info_topic = _choose_camera_info(
                    path, topics, self.topic, camera_info_topic
                )
            self._length = self._reader.topics[self.topic].msgcount
            if not self._length:
                raise ValueError(f"topic {self.topic} of bag {path} has no messages")
            self._recorded_camera = camera
            if self._camera_info_topic:
                self._recorded_camera = self._first_camera()
            self.camera = self._recorded_camera
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
    def recognises(cls, target: str) -> bool:
        """Whether the target looks like a source of this kind."""
        path = Path(target).expanduser()
        if path.is_dir():
            return bool(_storage_files(path))
        return path.suffix in _FILE_SUFFIXES and path.is_file()

    @property
    def length(self) -> int:
        return self._length

    @property
    def rate(self) -> float | None:
        return self._rate

    def close(self) -> None:
        self._reader.close()

    def _read(self, start: int, step: int) -> Iterator[Frame]:
        images = in_order(self._images(), stamp_of=itemgetter(0))
        for index, (stamp_ns, camera, message) in islice(enumerate(images), start, None, step):
            if self._camera_info_topic:
                self.camera = camera
            name = f"{self.topic}[{index}]"
            try:
                image = _image(message)
            except ValueError as error:
                self._skip(name, str(error))
                continue
            frame = self._frame(stamp_ns, image, name)
            if frame is not None:
                yield frame

    def _images(self) -> Iterator[tuple[int, Camera | None, Any]]:
        """(stamp, camera at that time, message) of the images in the order of recording."""
        watch = StampWatch(
            lambda text: logger.warning("%s: %s", self.name, text),
            unusable="frames are played in the order of their stamps",
            restart="going on",
        )
        camera = self._recorded_camera
        topics = [self.topic, *([self._camera_info_topic] if self._camera_info_topic else [])]
        for topic, time_ns, message in self._messages(topics):
            if topic == self._camera_info_topic:
                camera = self._camera(message)
                continue
            stamp_ns = _stamp_ns(message, time_ns)
            watch.add(stamp_ns)
            yield stamp_ns, camera, message

    def _messages(self, topics: list[str]) -> Iterator[tuple[str, int, Any]]:
        """(topic, time of recording in ns, message) in the order of recording."""
        connections = [
            connection for connection in self._reader.connections if connection.topic in topics
        ]
        try:
            for connection, time_ns, raw in self._reader.messages(connections):
                message = self._reader.deserialize(raw, connection.msgtype)
                yield connection.topic, time_ns, message
        except GeneratorExit:
            raise
        except Exception as error:
            # The storages raise whatever their parser ran into (struct.error, sqlite3.Error, ...).
            reason = str(error) or type(error).__name__
            raise ValueError(f"bag {self.name} is damaged: {reason}") from error

    def _first_camera(self) -> Camera | None:
        for _, _, message in self._messages([self._camera_info_topic]):
            return self._camera(message)
        return None

    def _camera(self, message: Any) -> Camera | None:
        """The camera of a CameraInfo; None where it is uncalibrated, or, told once, senseless."""
        try:
            return Camera.of_calibration(Calibration.of_message(message), self._rectified)
        except ValueError as error:
            if not self._told_of_camera_info:
                logger.warning(
                    "%s is of no use, the intrinsics are unknown: %s (camera= gives others)",
                    self._camera_info_topic,
                    error,
                )
            self._told_of_camera_info = True
            return None


def _open_reader(path: Path) -> Any:
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        raise ImportError(
            "reading bags needs the package rosbags, which is not installed: pip install rosbags"
        ) from None
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        files = _storage_files(path)
        if len(files) != 1:
            raise ValueError(
                f"bag {path} has no metadata.yaml and {len(files)} .mcap or .db3 files: "
                "run `ros2 bag reindex` on it, or name one file"
            )
        path = files[0]
    try:
        # Bags of before Iron carry no message definitions; those of images have not changed since.
        reader = AnyReader([path], default_typestore=get_typestore(Stores.LATEST))
        reader.open()
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"bag {path} cannot be read: {reason}. An unfinished recording can be mended with "
            "`ros2 bag reindex` or `mcap recover`"
        ) from error
    return reader


def _storage_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix in _STORAGE_SUFFIXES or path.name.endswith((".mcap.zstd", ".db3.zstd"))
    )


def _choose_topic(path: Path, topics: dict[str, str | None], wanted: str | None) -> str:
    images = {
        name: msgtype for name, msgtype in topics.items() if msgtype in (_IMAGE, _COMPRESSED_IMAGE)
    }
    listing = ", ".join(
        f"{name} ({msgtype.rsplit('/', 1)[1]})" for name, msgtype in sorted(images.items())
    )
    if wanted:
        for name in (wanted, f"/{wanted}"):
            if name in images:
                return name
        raise ValueError(f"bag {path} has no image topic {wanted!r}; it has {listing or 'none'}")
    if not images:
        raise ValueError(
            f"bag {path} has no topic of sensor_msgs/Image or CompressedImage, only "
            f"{', '.join(sorted(topics)) or 'nothing'}"
        )
    streams = {_stream(name) for name in images}
    if len(streams) > 1:
        raise ValueError(f"bag {path} has several image topics, choose one with topic: {listing}")
    return min(images, key=lambda name: (images[name] != _IMAGE, name))


def _choose_camera_info(
    path: Path, topics: dict[str, str | None], image_topic: str, wanted: str | None
) -> str | None:
    if wanted == "":
        return None
    infos = sorted(name for name, msgtype in topics.items() if msgtype == _CAMERA_INFO)
    expected = wanted or _stream(image_topic).rpartition("/")[0] + "/camera_info"
    for name in (expected, f"/{expected}"):
        if name in infos:
            return name
    listing = ", ".join(infos) or "none"
    if wanted:
        raise ValueError(f"bag {path} has no camera_info topic {wanted!r}; it has {listing}")
    logger.warning(
        "bag %s has no %s for %s: the intrinsics are unknown; choose with camera_info_topic: %s",
        path,
        expected,
        image_topic,
        listing,
    )
    return None


def _stream(image_topic: str) -> str:
    """The image_transport base topic: /cam/image_raw of /cam/image_raw/compressed."""
    for transport in ("/compressed", "/compressedDepth"):
        image_topic = image_topic.removesuffix(transport)
    return image_topic


def _stamp_ns(message: Any, time_ns: int) -> int:
    stamp = message.header.stamp
    return stamp.sec * NANOSECONDS + stamp.nanosec or time_ns


def _image(message: Any) -> np.ndarray:
    if message.__msgtype__ == _IMAGE:
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
