# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ROS bags, read with the pure Python package rosbags: no ROS installation is needed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
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
_COMPRESSED_SUFFIXES = (".mcap.zstd", ".db3.zstd")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MCAP_MAGIC = b"\x89MCAP0\r\n"
# What files begin with, and the command that mends those that were cut off.
_RECORDERS = {
    ".mcap": (_MCAP_MAGIC, "mcap recover"),
    ".db3": (b"SQLite format 3\0", "sqlite3 CUT.db3 .recover | sqlite3 WHOLE.db3"),
    ".bag": (b"#ROSBAG V2.0\n", "rosbag reindex"),
}
# Video packets of image_transport plugins and of Foxglove, which need the frames before them.
_VIDEO = re.compile(r"theora_image_transport/|ffmpeg_image_transport_msgs/|/CompressedVideo$")
_PROFILES = {"ros1": "ROS 1", "": "no ROS profile"}
# So many messages are looked at for the frame rate.
_RATE_SAMPLE = 32
# So many camera_info messages are kept to find the one of an image's stamp.
_KEPT_CAMERAS = 100


class RosbagSource(Source):
    """One image topic of a rosbag2 (mcap or sqlite3) or of a ROS 1 bag.

    Frames are stamped with their header, or with the time of recording where the header has none,
    and put in the order of their stamps where a few were recorded in another.
    Intrinsics are those of the camera_info of the same namespace and stamp, recorded before or
    after the image; where there is none, of the one recorded last.

    Args:
        target: A rosbag2 folder, a single .mcap or .db3 file, or a .bag file.
        camera: Calibration to use instead of the bag's.
        topic: The image topic (sensor_msgs/Image or CompressedImage); may be left out where only
            one camera has messages. Of one that was recorded both raw and compressed, raw is taken.
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
            entries = self._reader.topics.items()
            topics = {name: _msgtype(entry) for name, entry in entries}
            counts = {name: entry.msgcount for name, entry in entries}
            self.topic = _choose_topic(path, topics, counts, topic)
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
                raise ValueError(
                    f"topic {self.topic} of bag {path} has no messages; image topics: "
                    f"{_list_images(topics, counts)}"
                )
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
    def recognizes(cls, target: str) -> bool:
        """Whether the target looks like a source of this kind."""
        path = Path(target).expanduser()
        if path.is_dir():
            return bool(_storage_files(path))
        return path.is_file() and path.name.lower().endswith(
            (*_FILE_SUFFIXES, ".bag.active", *_COMPRESSED_SUFFIXES)
        )

    @property
    def length(self) -> int:
        return self._length

    @property
    def rate(self) -> float | None:
        return self._rate

    def close(self) -> None:
        self._reader.close()

    def _read(self, start: int, step: int) -> Iterator[Frame]:
        cameras: dict[int, Camera | None] = {}
        images = in_order(self._images(cameras), stamp_of=itemgetter(0))
        for index, (stamp_ns, camera, message) in islice(enumerate(images), start, None, step):
            if self._camera_info_topic:
                self.camera = cameras.get(stamp_ns, camera)
            name = f"{self.topic}[{index}]"
            try:
                image = _image(message)
            except ValueError as error:
                self._skip(name, str(error))
                continue
            frame = self._frame(stamp_ns, image, name, frame_id=message.header.frame_id)
            if frame is not None:
                yield frame

    def _images(
        self, cameras: dict[int, Camera | None]
    ) -> Iterator[tuple[int, Camera | None, Any]]:
        """(stamp, camera at that time, message) of the images in the order of recording; fills in
        the latest cameras by stamp.
        """
        watch = StampWatch(
            lambda text: logger.warning("%s: %s", self.name, text),
            unusable="frames are played in the order of their stamps",
            restart="going on",
        )
        camera = self._recorded_camera
        delivered = 0
        topics = [self.topic, *([self._camera_info_topic] if self._camera_info_topic else [])]
        for topic, time_ns, message in self._messages(topics):
            if topic == self._camera_info_topic:
                camera = cameras[_stamp_ns(message, time_ns)] = self._camera(message)
                if len(cameras) > _KEPT_CAMERAS:
                    del cameras[next(iter(cameras))]
                continue
            stamp_ns = _stamp_ns(message, time_ns)
            watch.add(stamp_ns)
            delivered += 1
            yield stamp_ns, camera, message
        if delivered < self._length:
            logger.warning(
                "bag %s announces %d messages on %s and delivers %d: write its index anew with "
                "`mcap recover`, or with `ros2 bag reindex` for sqlite3",
                self.name,
                self._length,
                self.topic,
                delivered,
            )

    def _messages(self, topics: list[str]) -> Iterator[tuple[str, int, Any]]:
        """(topic, time of recording in ns, message) in the order of recording."""
        connections = [
            connection
            for connection in self._reader.connections
            if connection.topic in topics and _is_ros(connection)
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
    # Bags of before Iron carry no message definitions; those of images have not changed since.
    typestore = get_typestore(Stores.LATEST)
    faults = []
    for paths in _ways_to_read(path):
        try:
            _check_content(paths)
            reader = AnyReader(paths, default_typestore=typestore)
            with _foreign_channels_left_aside():
                reader.open()
        except Exception as error:
            faults.append((paths[0], error))
            continue
        if faults:
            logger.warning("bag %s is read without its metadata.yaml: %s", path, faults[0][1])
        return reader
    fault_path, error = faults[-1]
    reason = str(error).rstrip(".") or type(error).__name__
    raise ValueError(f"bag {path} cannot be read: {reason}{_remedy(fault_path)}") from error


def _ways_to_read(path: Path) -> list[list[Path]]:
    """Return what to open, one after the other: by metadata.yaml, and by the files alone."""
    if not path.is_dir():
        return [[path]]
    metadata = path / "metadata.yaml"
    files = [file for file in _storage_files(path) if not _is_compressed(file)]
    if not metadata.is_file():
        if not files:
            raise ValueError(
                f"bag {path} has no metadata.yaml, and its files are compressed: unpack them with "
                "`unzstd`"
            )
        # ROS numbers the files that it splits a recording into.
        recordings = {re.sub(r"_\d+$", "", file.stem) for file in files}
        if len(recordings) != 1:
            raise ValueError(
                f"bag {path} has no metadata.yaml and {len(files)} .mcap or .db3 files that are "
                "not parts of one recording: run `ros2 bag reindex` on it, or name one file"
            )
        return [files]
    # Only metadata.yaml says that each message is compressed.
    is_plain = not re.search(
        r"compression_mode:\W*(file|message)", metadata.read_text(errors="replace"), re.IGNORECASE
    )
    return [[path], files] if is_plain and files else [[path]]


def _check_content(paths: list[Path]) -> None:
    """Raise ValueError where a file can be told to be something else than its name says."""
    for path in paths:
        if _is_compressed(path):
            raise ValueError("it is compressed: give the bag's folder, or unpack it with `unzstd`")
        if path.suffix.lower() != ".mcap":
            continue
        with path.open("rb") as file:
            head = file.read(512)
        # A record of one byte 0x01, its length (8), the profile's length (4) and the profile.
        profile = head[21 : 21 + int.from_bytes(head[17:21], "little")].decode(errors="replace")
        if head.startswith(_MCAP_MAGIC) and profile != "ros2":
            raise ValueError(
                f"{path.name} has content of {_PROFILES.get(profile, f'profile {profile!r}')}, and "
                "of MCAP files only those of ROS 2 are read"
            )


def _remedy(path: Path) -> str:
    """Return the advice for a bag that its recorder left unfinished, else what the file is."""
    suffix = ".bag" if path.name.endswith(".bag.active") else path.suffix.lower()
    if suffix not in _RECORDERS:
        return ""
    magic, command = _RECORDERS[suffix]
    with path.open("rb") as file:
        head = file.read(len(magic))
        file.seek(-min(path.stat().st_size, len(magic)), os.SEEK_END)
        tail = file.read()
    if head != magic:
        return f". It is no {suffix} file, or damaged at its start"
    if suffix == ".mcap" and tail == magic:
        return ""
    return f". A recording that was cut off can be mended with `{command}`"


@contextmanager
def _foreign_channels_left_aside() -> Iterator[None]:
    """Let rosbags open an MCAP file with channels of JSON, protobuf and so on beside ROS's.

    It looks up each schema's encoding in a table of those it knows, and fails at any other. Here
    the others have no definition, as channels without schema have. Where another version of
    rosbags has no such function, the file is refused with the encoding's name as before.
    """
    from rosbags.rosbag2 import storage_mcap

    get_msgdef = getattr(storage_mcap, "get_msgdef", None)
    if get_msgdef is None:
        yield
        return

    def get_known_msgdef(schema: Any) -> Any:
        try:
            return get_msgdef(schema)
        except KeyError:
            return get_msgdef(None)

    storage_mcap.get_msgdef = get_known_msgdef
    try:
        yield
    finally:
        storage_mcap.get_msgdef = get_msgdef


def _msgtype(entry: Any) -> str | None:
    """The type of a topic's messages; of a foreign channel with its encoding behind it."""
    foreign = [each for each in entry.connections if not _is_ros(each)]
    if not foreign:
        return entry.msgtype
    return f"{foreign[0].msgtype}, {foreign[0].ext.serialization_format}"


def _is_ros(connection: Any) -> bool:
    """Whether messages are serialized as ROS does; connections of ROS 1 bags do not say."""
    return getattr(connection.ext, "serialization_format", "cdr") == "cdr"


def _storage_files(folder: Path) -> list[Path]:
    """Return a rosbag2's files, in the order in which they were recorded."""
    return sorted(
        (
            path
            for path in folder.iterdir()
            if path.name.lower().endswith((*_STORAGE_SUFFIXES, *_COMPRESSED_SUFFIXES))
            and not path.name.startswith(".")
        ),
        key=lambda path: (len(path.name), path.name),
    )


def _is_compressed(path: Path) -> bool:
    return path.name.lower().endswith(_COMPRESSED_SUFFIXES)


def _choose_topic(
    path: Path, topics: dict[str, str | None], counts: dict[str, int], wanted: str | None
) -> str:
    images = _images(topics)
    if wanted:
        for name in (wanted, f"/{wanted}"):
            if name in images:
                return name
        # The base topic of a camera that was recorded through another transport.
        images = [name for name in images if _stream(name) in (wanted, f"/{wanted}")]
        if not images:
            raise ValueError(
                f"bag {path} has no image topic {wanted!r}; it has {_list_images(topics, counts)}"
            )
    if not images:
        listing = ", ".join(f"{name} ({topics[name]})" for name in sorted(topics))
        raise ValueError(
            f"bag {path} has no topic of sensor_msgs/Image or CompressedImage, only "
            f"{listing or 'nothing'}{_video_remedy(topics)}"
        )
    # Depth in compressedDepth is no image to show; a topic can be declared and never published.
    candidates = (
        [name for name in images if counts[name] and not name.endswith("/compressedDepth")]
        or [name for name in images if counts[name]]
        or images
    )
    if len({_stream(name) for name in candidates}) > 1:
        raise ValueError(
            f"bag {path} has several image topics, choose one with topic=: "
            f"{_list_images(topics, counts)}"
        )
    return min(candidates, key=lambda name: (topics[name] != _IMAGE, name))


def _images(topics: dict[str, str | None]) -> list[str]:
    return sorted(name for name in topics if topics[name] in (_IMAGE, _COMPRESSED_IMAGE))


def _list_images(topics: dict[str, str | None], counts: dict[str, int]) -> str:
    listing = (
        f"{name} ({counts[name]} x {topics[name].rsplit('/', 1)[1]})" for name in _images(topics)
    )
    return ", ".join(listing) or "none"


def _video_remedy(topics: dict[str, str | None]) -> str:
    packets = [name for name in sorted(topics) if _VIDEO.search(topics[name] or "")]
    if not packets:
        return ""
    return (
        f". Video packets as in {packets[0]} ({topics[packets[0]]}) are not read: play the bag and "
        "record what `ros2 run image_transport republish` makes raw of it"
    )


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
    """Return the header's stamp, or the time of recording where that is unset or before 1970."""
    stamp = message.header.stamp
    stamp_ns = stamp.sec * NANOSECONDS + stamp.nanosec
    return stamp_ns if stamp_ns > 0 else time_ns


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
