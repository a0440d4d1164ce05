# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Add features, matches and odometry to a recorded bag, as the nodes would publish them.

Every frame is worked on, as fast as the machine allows. Features, which take most of the time, are
first written to parts of ``PART_FRAMES`` frames beside the output, so that the work can be stopped
and goes on where it was. The output appears under its name when it is complete.
"""

from __future__ import annotations

import heapq
import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from ament_index_python.packages import get_package_share_directory
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from feature_booster_ros.depth import DepthSensor
from feature_booster_ros.depth.images import DEPTH_WITHIN_NS
from feature_booster_ros.depth.rig import RIGHT_WITHIN_NS
from feature_booster_ros.errors import install_extra, read_text
from feature_booster_ros.features import Continuity, Features
from feature_booster_ros.matching import FrameMatcher
from feature_booster_ros.msg import FeatureArray, MatchArray
from feature_booster_ros.progress import Progress
from feature_booster_ros.sources.bag_files import open_bag
from feature_booster_ros.sources.bag_topics import IMAGE, BagTopics
from feature_booster_ros.stamps import UNUSABLE, Order, StampWatch

from .booster_node_parameters import BoosterNodeParameters
from .camera_info import CameraInfoError, camera_of, describe_image, uncalibrated
from .depth_messages import Measured, measure_depth
from .feature_pipeline import FeaturePipeline
from .image_annotations import ImageAnnotations, to_image_annotations
from .images import message_to_gray
from .matcher_node_parameters import MatcherNodeParameters
from .messages import (
    stamp_of,
    to_feature_array,
    to_feature_frame,
    to_header,
    to_match_array,
)
from .odometry_node_parameters import OdometryNodeParameters
from .parameter_file import read_parameter_file
from .parameters import ParameterError, from_values
from .recorded_messages import RecordedCameraInfos, RecordedImages, of_topic

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag2 import Writer

    from feature_booster_ros.odometry import Estimate

logger = logging.getLogger(__name__)

PART_FRAMES = 100
"""Frames of a part; what is lost at most when the work is stopped."""
_BAG_VERSION: Literal[8] = 8
"""Version of metadata.yaml, which Humble and later distributions read."""
_ANNOTATION_TYPES = {} if ImageAnnotations is None else {"/image_annotations": ImageAnnotations}
_TYPES = {
    "/features": FeatureArray,
    "/matches": MatchArray,
    **_ANNOTATION_TYPES,
    "/odometry": Odometry,
}


@dataclass(frozen=True)
class BagSettings:
    """How a bag is processed: the parameters of the nodes that would do it live.

    Attributes:
        booster: Of booster_node.
        matcher: Of matcher_node.
        odometry: Of odometry_node; None for no odometry.
    """

    booster: BoosterNodeParameters = field(default_factory=BoosterNodeParameters)
    matcher: MatcherNodeParameters = field(default_factory=MatcherNodeParameters)
    odometry: OdometryNodeParameters | None = field(default_factory=OdometryNodeParameters)


def read_settings(path: Path | None, has_odometry: bool) -> BagSettings:
    """Return the settings of a file such as config/booster.yaml; None for the defaults.

    Raises:
        ValueError: The file is no parameter file of these nodes, or a parameter is unknown or not
            allowed.
    """
    names = ("booster_node", "matcher_node", "odometry_node")
    values = read_parameter_file(path, names) if path else {}
    try:
        return BagSettings(
            from_values(BoosterNodeParameters, values.get("booster_node", {})),
            from_values(MatcherNodeParameters, values.get("matcher_node", {})),
            from_values(OdometryNodeParameters, values.get("odometry_node", {}))
            if has_odometry
            else None,
        )
    except ParameterError as error:
        raise ValueError(f"{path}: {error}") from error


def process_bag(
    source: Path,
    output: Path,
    settings: BagSettings | None = None,
    topic: str | None = None,
    depth_topic: str | None = None,
    right_topic: str | None = None,
) -> dict[str, int]:
    """Write a copy of a bag with ``/features``, ``/matches`` and ``/odometry``.

    It also gets ``/image_annotations`` where foxglove_msgs is installed.

    Args:
        source: A rosbag2 of ROS 2, mcap or sqlite3; the output is stored in the same way.
        output: Folder to make.
        settings: Parameters of the nodes; None for their defaults.
        topic: Image topic; None for the only camera.
        depth_topic: Topic of depth images that are aligned to the images.
        right_topic: Image topic of a stereo pair's right camera, with its camera_info beside it.

    Returns:
        The number of messages of each topic that was added.

    Raises:
        FileNotFoundError: There is no such bag.
        ValueError: The bag cannot be read, the output exists, or a package is missing.
    """
    settings = settings or BagSettings()
    depth_input = "aligned" if depth_topic else "stereo" if right_topic else "none"
    if depth_topic and right_topic:
        raise ValueError("depth and right images both measure depth: leave out one topic")
    settings = replace(settings, booster=replace(settings.booster, depth_input=depth_input))
    if output.exists():
        raise ValueError(f"{output} exists: give another output, or remove it first")
    if not source.exists():
        raise FileNotFoundError(f"bag {source} does not exist")
    reader = open_bag(source)
    try:
        bag = _InputBag(source, reader, topic, depth_topic or right_topic, bool(right_topic))
        parts = _Parts(output.with_name(output.name + ".partial"), bag, settings)
        pipeline = FeaturePipeline(settings.booster, None, logger.warning)
        with Progress(desc="features", total=bag.image_count, initial=parts.done) as progress:
            for part in parts.missing():
                parts.write(part, _features(bag, pipeline, part, progress))
        whole = parts.folder / output.name  # the storage's file is called like its folder
        shutil.rmtree(whole, ignore_errors=True)
        counts = _write_whole(whole, bag, parts, settings)
    finally:
        reader.close()
    whole.rename(output)
    shutil.rmtree(parts.folder)
    return counts


class _InputBag:
    """The bag that is read.

    Args:
        path: Of the bag.
        reader: Open rosbags AnyReader.
        topic: Image topic, or None for the only camera.
        measured_topic: Topic of the images that tell depth, or None.
        is_stereo: Whether these are a right camera's; else they are depth.
    """

    def __init__(
        self,
        path: Path,
        reader: Any,
        topic: str | None,
        measured_topic: str | None,
        is_stereo: bool,
    ) -> None:
        self.reader = reader
        if not reader.is2:
            raise ValueError(f"{path} is a bag of ROS 1: convert it with rosbags-convert first")
        topics = BagTopics.of_reader(path, reader)
        if taken := sorted(set(_TYPES) & set(topics.types)):
            raise ValueError(f"{path} has {taken[0]} already: give the bag as it was recorded")
        self.image_topic = topics.choose_image(topic)
        self.image_count = topics.counts[self.image_topic]
        self._image_type = _image_type(topics, self.image_topic)
        info_topic = topics.choose_camera_info(self.image_topic, None)
        self._camera_infos = RecordedCameraInfos(reader, info_topic)
        self.measured_topic = topics.choose_image(measured_topic) if measured_topic else None
        self._measured: RecordedImages | None = None
        if self.measured_topic:
            measured_type = _image_type(topics, self.measured_topic)
            self._measured = RecordedImages(reader, self.measured_topic, measured_type)
        right_info_topic = None
        if self.measured_topic and is_stereo:
            right_info_topic = topics.choose_camera_info(self.measured_topic, None)
        self._right_infos = RecordedCameraInfos(reader, right_info_topic)
        self._within_ns = RIGHT_WITHIN_NS if is_stereo else DEPTH_WITHIN_NS
        files = [path] if path.is_file() else path.iterdir()
        self.storage = "MCAP" if any(".mcap" in file.name for file in files) else "SQLITE3"

    def images(self, indices: range) -> Iterator[tuple[int, Image | CompressedImage]]:
        """Yield the time of recording [ns] and the message of some of the images, in order."""
        messages = of_topic(self.reader, self.image_topic)
        for _, time_ns, raw in islice(messages, indices.start, indices.stop):
            yield time_ns, deserialize_message(bytes(raw), self._image_type)

    def camera_info(self, stamp_ns: int) -> CameraInfo | None:
        """Return the camera_info of an image; None if there is none."""
        return self._camera_infos.at(stamp_ns)

    def measured(self, stamp_ns: int) -> Measured | None:
        """Return what tells the depth of an image; None if there is nothing of its time."""
        if self._measured is None:
            return None
        image = self._measured.nearest(stamp_ns, self._within_ns)
        return None if image is None else Measured(image, self._right_infos.at(stamp_ns))


def _image_type(topics: BagTopics, topic: str) -> type[Image | CompressedImage]:
    return Image if topics.types[topic] == IMAGE else CompressedImage


class _Parts:
    """Features in bags of ``PART_FRAMES`` frames each, named by the frames that they are of.

    Args:
        folder: To keep them in.
        bag: That the features are of.
        settings: That they are made with.
    """

    def __init__(self, folder: Path, bag: _InputBag, settings: BagSettings) -> None:
        self.folder = folder
        self._count, self._storage = bag.image_count, bag.storage
        made_with = {
            "topic": bag.image_topic,
            "images": bag.image_count,
            "measured_topic": bag.measured_topic,
            "booster_node": asdict(settings.booster),
        }
        record = folder / "settings.json"
        folder.mkdir(parents=True, exist_ok=True)
        if not record.exists():
            record.write_text(json.dumps(made_with))
        elif json.loads(record.read_text()) != made_with:
            raise ValueError(
                f"{folder} has features of another bag or other parameters: remove it first"
            )

    @property
    def done(self) -> int:
        """Number of frames in complete parts."""
        return sum(len(part) for part in self._parts() if self._path(part).exists())

    def missing(self) -> list[range]:
        """Return the frames of the parts that are not complete."""
        return [part for part in self._parts() if not self._path(part).exists()]

    def write(self, part: range, features: Iterator[tuple[int, FeatureArray]]) -> None:
        """Write a part; it has its name when it is complete."""
        unfinished = self.folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        with _open_writer(unfinished, self._storage) as writer:
            connection = _add_topic(writer, "/features")
            for time_ns, message in features:
                writer.write(connection, time_ns, serialize_message(message))
        unfinished.rename(self._path(part))

    def messages(self) -> Iterator[tuple[int, str, bytes]]:
        """Yield time of recording [ns], topic and serialized features of all parts, in order."""
        for part in self._parts():
            reader = open_bag(self._path(part))
            try:
                for _, time_ns, raw in reader.messages():
                    yield time_ns, "/features", bytes(raw)
            finally:
                reader.close()

    def _parts(self) -> list[range]:
        return [
            range(start, min(start + PART_FRAMES, self._count))
            for start in range(0, self._count, PART_FRAMES)
        ]

    def _path(self, part: range) -> Path:
        return self.folder / f"frames_{part.start:08}_{part.stop:08}"


def _features(
    bag: _InputBag, pipeline: FeaturePipeline, frames: range, progress: Progress
) -> Iterator[tuple[int, FeatureArray]]:
    """Yield the time of recording [ns] and the features of frames, as booster_node makes them."""
    parameters = pipeline.parameters
    sensor = DepthSensor(parameters.depth_settings())
    for time_ns, message in bag.images(frames):
        progress.update()
        try:
            image = message_to_gray(message, parameters.wide_pixels)
            described = _describe(bag, message, image.shape, parameters.rectified)
            features = pipeline.extract(image)
            features = _measure(bag, sensor, features, image, message, parameters)
            matrix = None
            if parameters.normalization == "intrinsics":
                camera = camera_of(described)
                matrix = None if camera is None else camera.matrix
            features = pipeline.boost(features, image.shape, matrix)
        except ValueError as error:
            logger.warning("frame of stamp %d skipped: %s", stamp_of(message), error)
            continue
        yield (
            time_ns,
            to_feature_array(
                features,
                message.header,
                described,
                pipeline.detector,
                pipeline.model,
                parameters.descriptor_type,
            ),
        )


def _measure(
    bag: _InputBag,
    sensor: DepthSensor,
    features: Features,
    image: np.ndarray,
    message: Image | CompressedImage,
    parameters: BoosterNodeParameters,
) -> Features:
    """Return the features with their depths, or unchanged where nothing tells them."""
    stamp_ns = stamp_of(message)
    measured = bag.measured(stamp_ns)
    if measured is None:
        return features
    camera_info = bag.camera_info(stamp_ns)
    try:
        return measure_depth(sensor, features, image, camera_info, measured, parameters)
    except ValueError as error:
        logger.warning("going on without the depth of stamp %d: %s", stamp_ns, error)
        return features


def _describe(
    bag: _InputBag, message: Image | CompressedImage, shape: tuple[int, ...], rectified: bool
) -> CameraInfo:
    height, width = shape
    camera_info = bag.camera_info(stamp_of(message))
    try:
        described = (
            uncalibrated(None, width, height)
            if camera_info is None
            else describe_image(camera_info, width, height, rectified)
        )
    except CameraInfoError as error:
        logger.warning("going on without intrinsics: %s", error)
        described = uncalibrated(camera_info, width, height)
    described.header = message.header
    return described


def _write_whole(
    path: Path, bag: _InputBag, parts: _Parts, settings: BagSettings
) -> dict[str, int]:
    """Write what was recorded and what follows from the features; return counts by topic."""
    stages: list[_Matches | _Odometry] = [_Matches(settings.matcher)]
    if settings.odometry is not None:
        stages.append(_Odometry(settings.odometry))
    with _open_writer(path, bag.storage) as writer:
        copies = _copy_topics(writer, bag.reader)
        topics = ["/features", *(topic for stage in stages for topic in stage.topics)]
        added = {topic: _add_topic(writer, topic) for topic in topics}
        counts = dict.fromkeys(added, 0)
        recorded: Iterator[tuple[int, Connection | str, bytes]] = (
            (time_ns, copies[key], bytes(raw))
            for connection, time_ns, raw in bag.reader.messages()
            if (key := (connection.topic, connection.msgtype)) in copies
        )
        # Of equal times, what was recorded comes first.
        features_of_parts: Iterator[tuple[int, Connection | str, bytes]] = parts.messages()
        for time_ns, to, raw in heapq.merge(recorded, features_of_parts, key=itemgetter(0)):
            if not isinstance(to, str):
                writer.write(to, time_ns, raw)
                continue
            writer.write(added[to], time_ns, raw)
            counts[to] += 1
            features = deserialize_message(raw, FeatureArray)
            for stage in stages:
                for topic, message in zip(stage.topics, stage.process(features), strict=False):
                    writer.write(added[topic], time_ns, serialize_message(message))
                    counts[topic] += 1
    return counts


class _Matches:
    """What matcher_node does with features."""

    topics = ("/matches", *_ANNOTATION_TYPES)

    def __init__(self, parameters: MatcherNodeParameters) -> None:
        self._limit = parameters.max_input_features
        self._max_lines = parameters.match_image_max_lines
        self._matcher = FrameMatcher(parameters.matcher_settings())
        self._continuity = Continuity(StampWatch(logger.warning, unusable="frame left out"))

    def process(self, message: FeatureArray) -> tuple[Any, ...]:
        """Return a message for each topic, or none."""
        frame = to_feature_frame(message, camera_of(message.camera_info), self._limit)
        order = self._continuity.add(frame)
        if order is Order.OUT_OF_ORDER:
            return ()
        if order is Order.RESTARTED:
            self._matcher.reset()
        result = self._matcher.match(frame)
        if result is None:
            return ()
        matches = to_match_array(
            result.matches,
            result.query.features,
            result.reference.features,
            result.inliers,
            to_header(result.query),
            to_header(result.reference).stamp,
        )
        if ImageAnnotations is None:
            return (matches,)
        return matches, to_image_annotations(result, self._max_lines)


class _Odometry:
    """What odometry_node does with features."""

    topics = ("/odometry",)

    def __init__(self, parameters: OdometryNodeParameters) -> None:
        try:
            from feature_booster_ros.odometry import OdometrySettings

            from .feature_stream import FeatureStream
        except ImportError as error:
            raise ValueError(
                f"odometry needs more packages ({error}): {install_extra('odometry')}, or leave it "
                "out with --no-odometry"
            ) from error
        from .pose_messages import PoseMessages

        self._parameters = parameters
        self._poses = PoseMessages(parameters)
        self._stream = FeatureStream(
            OdometrySettings(**parameters.odometry_settings()),
            StampWatch(logger.warning, confirm=True),
            logger.info,
        )
        self._last: Estimate | None = None
        self._has_warned = False

    def process(self, message: FeatureArray) -> tuple[Odometry, ...]:
        """Return a message for the topic, or none."""
        camera = camera_of(message.camera_info)
        if camera is None:
            if not self._has_warned:
                logger.warning("no odometry: the bag has no intrinsics of the camera")
            self._has_warned = True
            return ()
        frame = to_feature_frame(message, camera, self._parameters.max_input_features)
        resets = self._stream.resets
        order, estimate = self._stream.track(frame, self._parameters.jump_back)
        if estimate is None or order in UNUSABLE:
            return ()
        last = self._last if self._stream.resets == resets else None
        self._last = estimate
        header = Header(stamp=message.header.stamp, frame_id=self._parameters.odom_frame)
        messages = self._poses.convert(header, last, estimate)
        return () if messages is None else messages[:1]


def _open_writer(path: Path, storage: str) -> Writer:
    from rosbags.rosbag2 import Writer
    from rosbags.rosbag2.enums import StoragePlugin

    return Writer(path, version=_BAG_VERSION, storage_plugin=StoragePlugin[storage])


def _add_topic(writer: Writer, topic: str) -> Connection:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store, kind = get_typestore(Stores.LATEST), _TYPES[topic]
    package = kind.__module__.partition(".")[0]
    name = f"{package}/msg/{kind.__name__}"
    if name not in store.fielddefs:
        for file in Path(get_package_share_directory(package), "msg").glob("*.msg"):
            store.register(get_types_from_msg(read_text(file), f"{package}/msg/{file.stem}"))
    return writer.add_connection(topic, name, typestore=store)


def _copy_topics(writer: Writer, reader: Any) -> dict[tuple[str, str], Connection]:
    """Return the topics of the output by topic and type; files of one bag may repeat them."""
    copies: dict[tuple[str, str], Connection] = {}
    for connection in reader.connections:
        key = connection.topic, connection.msgtype
        if key not in copies:
            copy = _copy_topic(writer, connection, reader.typestore)
            if copy is not None:
                copies[key] = copy
    return copies


def _copy_topic(writer: Writer, connection: Connection, typestore: Any) -> Connection | None:
    """Add a topic as it was recorded; None, with a warning, if its type is not known."""
    definition = connection.msgdef.data
    known = connection.msgtype in typestore.fielddefs
    if not known and not (definition and connection.digest):
        logger.warning(
            "%s is left out: the bag has no definition of %s", connection.topic, connection.msgtype
        )
        return None
    return writer.add_connection(
        connection.topic,
        connection.msgtype,
        typestore=typestore if known else None,
        msgdef=None if known else definition,
        rihs01=None if known else connection.digest,
        serialization_format=getattr(connection.ext, "serialization_format", "cdr"),
        offered_qos_profiles=getattr(connection.ext, "offered_qos_profiles", ()),
    )
