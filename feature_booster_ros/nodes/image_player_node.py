# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""image_player_node: play files, data sets, bags, videos and webcams as a camera driver would.

Publishes ``image`` (sensor_msgs/Image, and ``image/compressed`` of sensor_msgs/CompressedImage if
``image_transport`` says so) and ``camera_info``; ``depth`` where the source has it (16UC1 in
millimeters); ``right/image`` and ``right/camera_info`` of a stereo pair.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from rclpy.exceptions import NameValidationException
from rclpy.lifecycle import LifecyclePublisher
from rclpy.node import NodeNameNonExistentError
from rclpy.validate_full_topic_name import validate_full_topic_name
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from feature_booster_ros.pixels import image_encoding
from feature_booster_ros.sources import KINDS, Frame, Source, open_source
from feature_booster_ros.sources.source import USUAL_RATE, play
from feature_booster_ros.stamps import NANOSECONDS, Order, StampWatch, show

from .camera_info import to_camera_info
from .handshake import Handshakes, split_name
from .image_output import ImageOutput
from .images import transport_topic
from .lifecycle import (
    CLOCK_MISSING,
    EXPECTED_ERRORS,
    ManagedNode,
    Resources,
    Work,
    is_clock_missing,
)
from .parameters import Change, NodeParameters, parameter
from .process import run

_PROGRESS_PERIOD = 5.0  # seconds between two lines of progress
_PATIENCE = 10.0  # seconds between two lines that say what is waited for
# Time that listeners have to know their publishers, after which the player plays all the same [s].
_CONNECTION_PATIENCE = 20.0
_IMAGE_TYPE = "sensor_msgs/msg/Image"
_LISTENED_TYPES = {
    _IMAGE_TYPE,
    "sensor_msgs/msg/CompressedImage",
    "feature_booster_ros/msg/FeatureArray",
}
_MATCHES_TYPE = "feature_booster_ros/msg/MatchArray"


@dataclass(frozen=True)
class ImagePlayerNodeParameters(NodeParameters):
    """Parameters of image_player_node."""

    source: str = parameter(
        "",
        "What to play: a folder of images, a video, a KITTI, TUM or EuRoC sequence, a rosbag2, "
        "webcam:0, rendered; options follow after commas, as in BAG,topic=/image.",
        change=Change.UNCONFIGURED,
    )
    kind: str = parameter(
        "auto", "Kind of the source.", choices=("auto", *KINDS), change=Change.UNCONFIGURED
    )
    camera: str = parameter(
        "",
        "Intrinsics instead of the source's own: a calibration file of ROS, OpenCV or Kalibr, by "
        "path, file:// or package://, or fx,fy,cx,cy in pixels.",
        change=Change.UNCONFIGURED,
    )
    rate: float = parameter(0.0, "Frame rate in Hz; 0 plays as recorded.", minimum=0.0)
    speed: float = parameter(1.0, "Factor on the frame rate.", minimum=0.001, maximum=1000.0)
    loop: bool = parameter(False, "Start again at the end; recorded stamps go on rising.")
    start: int = parameter(0, "First frame to play.", minimum=0, change=Change.UNCONFIGURED)
    step: int = parameter(1, "Play every n-th frame.", minimum=1, change=Change.UNCONFIGURED)
    count: int = parameter(
        0, "Number of frames to play; 0 plays all.", minimum=0, change=Change.UNCONFIGURED
    )
    stamp: str = parameter(
        "recorded", "Stamp of the messages: recorded, or now.", choices=("recorded", "now")
    )
    frame_id: str = parameter(
        "", "Coordinate frame of the images; empty for the recorded one, or camera without one."
    )
    image_transport: str = parameter(
        "raw",
        "Publish image (raw), image/compressed (compressed) or both.",
        choices=("raw", "compressed", "both"),
        change=Change.UNCONFIGURED,
    )
    jpeg_quality: int = parameter(
        95, "Quality of compressed 8-bit images in percent.", minimum=1, maximum=100
    )
    wait_for_subscribers: int = parameter(
        0, "Subscriptions of the images to wait for before the first frame.", minimum=0
    )
    wait_for_nodes: str = parameter(
        "",
        "Names of nodes to wait for before the first frame, separated by commas: until each "
        "subscribes to images or features. Relative names are in this node's namespace.",
    )
    wait_timeout: float = parameter(
        120.0,
        "Time in seconds after which the player gives up waiting, says what is missing, and fails.",
        minimum=0.0,
        maximum=86400.0,
    )
    at_end: str = parameter(
        "exit", "At the end of the source, exit or stay.", choices=("exit", "stay")
    )
    qos_output_depth: int = parameter(
        10,
        "Messages kept for slow subscribers.",
        minimum=1,
        maximum=1000,
        change=Change.UNCONFIGURED,
    )

    def nodes(self, namespace: str) -> dict[str, str]:
        """Return the full name of each node of `wait_for_nodes`, by its name as given.

        Args:
            namespace: Of relative names.

        Raises:
            ValueError: No node can have such a name.
        """
        full_names = {}
        for name in filter(None, map(str.strip, self.wait_for_nodes.split(","))):
            full_name = name if name.startswith("/") else f"{namespace.rstrip('/')}/{name}"
            try:
                validate_full_topic_name(full_name)  # the rules of names of nodes are the same
            except NameValidationException as error:
                raise ValueError(
                    f"parameter 'wait_for_nodes': no node is named {name!r}"
                ) from error
            full_names[name] = full_name
        return full_names


class ImagePlayerNode(ManagedNode):
    """Play a source as ``image`` (or ``image/compressed``) and ``camera_info``."""

    node_name = "image_player_node"
    parameter_type = ImagePlayerNodeParameters
    parameters: ImagePlayerNodeParameters
    example = "-p source:=/data/folder_of_images -p rate:=10.0 -p camera:=458.7,457.3,367.2,248.4"

    def configure(self, resources: Resources) -> Work:
        """Open the source and make the publishers."""
        return Playback(self, resources)


class Playback(Work):
    """The work of a configured image_player_node.

    A thread decodes ahead of time and publishes when a frame is due, so that decoding shifts no
    frame and the node answers to parameters and transitions while it plays. Activation plays from
    the beginning.
    """

    def __init__(self, node: ImagePlayerNode, resources: Resources) -> None:
        parameters, qos = node.parameters, node.parameters.output_profile()
        if not parameters.source:
            raise ValueError("parameter 'source' is empty: it says what to play, such as a folder")
        parameters.nodes(node.get_namespace())  # refuses names that no node can have
        self._node = node
        self._stop = threading.Event()
        sources, handler = logging.getLogger("feature_booster_ros.sources"), _LoggerBridge(node)
        sources.addHandler(handler)
        resources.callback(sources.removeHandler, handler)
        kind = None if parameters.kind == "auto" else parameters.kind
        self._source = open_source(parameters.source, kind=kind, camera=parameters.camera or None)
        resources.callback(self._source.close)
        # Checked here rather than by the thread, so that a bad range fails the transition.
        self._source.frames(parameters.start, parameters.step, parameters.count or None)
        self._images = ImageOutput(node, resources, "image")
        self._camera_info_publisher = resources.lifecycle_publisher(CameraInfo, "camera_info", qos)
        self._depths: ImageOutput | None = None
        self._rights: ImageOutput | None = None
        if self._source.has_depth:
            self._depths = ImageOutput(node, resources, "depth", "compressedDepth")
        if self._source.has_right:
            self._rights = ImageOutput(node, resources, "right/image")
            self._right_info_publisher = resources.lifecycle_publisher(
                CameraInfo, "right/camera_info", qos
            )
        node.get_logger().info(_describe(self._source))

    @property
    def parameters(self) -> ImagePlayerNodeParameters:
        """The node's parameters, which may change at any time."""
        return self._node.parameters

    def apply_parameters(self, new: ImagePlayerNodeParameters) -> None:
        """Refuse names that no node can have; the thread reads the parameters itself."""
        new.nodes(self._node.get_namespace())

    def activate(self, resources: Resources) -> str:
        """Start the thread that plays."""
        self._node.failed = False
        self._stop.clear()
        thread = threading.Thread(target=self._run, name="playback", daemon=True)
        resources.callback(thread.join)
        resources.callback(self._stop.set)
        thread.start()
        return f"playing {self._source.name}"

    # The thread

    def _run(self) -> None:
        try:
            if self._wait_for_listeners():
                self._play()
        except Exception as error:
            # Ctrl-C takes the middleware away in the middle of the work: then that is all.
            if self._stop.is_set() or not self._node.context.ok():
                return
            self._node.failed = True
            kind = "" if isinstance(error, EXPECTED_ERRORS) else f"{type(error).__name__}: "
            self._node.get_logger().error(f"playing stopped: {kind}{error}")
            self._node.get_logger().debug(traceback.format_exc())
        if not self._stop.is_set() and self.parameters.at_end == "exit":
            for publisher in self._publishers():
                # A reliable message may still be on its way; at_end must not cut it off.
                publisher.wait_for_all_acked(Duration(seconds=2))
            self._node.context.try_shutdown()

    def _wait_for_listeners(self) -> bool:
        """Return True once all listeners are there and will receive the first frame.

        They are given up, with a warning, where they do not know their publishers for long. False
        when playing is to stop.

        Raises:
            RuntimeError: they are not there after `wait_timeout`.
        """
        begun, reported, complete = time.monotonic(), -_PATIENCE, math.inf
        with closing(Handshakes(self._node)) as handshakes:
            while True:
                now, missing = time.monotonic(), self._missing_listeners()
                if missing and now - begun > self.parameters.wait_timeout:
                    raise RuntimeError(
                        f"gave up waiting for {missing} after {self.parameters.wait_timeout:g} s "
                        "(parameter wait_timeout)"
                    )
                if not missing:
                    complete = min(complete, now)
                    missing = self._missing_connections(handshakes)
                    if missing and now - complete > _CONNECTION_PATIENCE:
                        self._warn(f"playing without {missing}: first frames may be lost there")
                        return True
                if not missing:
                    return True
                if now - reported >= _PATIENCE:
                    reported = now
                    self._node.get_logger().info(f"waiting for {missing}")
                if self._stop.wait(0.02):
                    return False

    def _missing_listeners(self) -> str:
        """Return what the first frame still waits for; empty when it can be played."""
        if self.parameters.stamp == "now" and is_clock_missing(self._node):
            return f"the time, for stamp: now. {CLOCK_MISSING}"
        missing = []
        nodes = self.parameters.nodes(self._node.get_namespace())
        silent = [self._missing_node(name, full_name) for name, full_name in nodes.items()]
        if any(silent):
            missing.append(f"{', '.join(filter(None, silent))} (parameter wait_for_nodes)")
        images = self._image_publishers()
        wanted = self.parameters.wait_for_subscribers
        count = sum(publisher.get_subscription_count() for publisher in images)
        if count < wanted:
            topics = " and ".join(publisher.topic_name for publisher in images)
            missing.append(
                f"{wanted} subscription(s) of {topics}, there are {count} (parameter "
                "wait_for_subscribers)"
            )
        return ", and for ".join(missing)

    def _missing_connections(self, handshakes: Handshakes) -> str:
        """Return why the listeners that are there may lose the first frames; empty if none may."""
        names = self.parameters.nodes(self._node.get_namespace()).values()
        if not names and not self.parameters.wait_for_subscribers:
            return ""
        missing = [
            f"an answer of {name}" for name in handshakes.missing_listeners(self._publishers())
        ]
        reports = (handshakes.unconnected(name) for name in names)
        return ", and for ".join(dict.fromkeys([*missing, *filter(None, reports)]))

    def _missing_node(self, name: str, full_name: str) -> str:
        """Return the name of a node that does not listen, and why if known; empty if it does.

        A node listens if it subscribes to images or features, but not if it subscribes only to the
        transport of our images that is not published.
        """
        try:
            topics = self._node.get_subscriber_names_and_types_by_node(*split_name(full_name))
        except NodeNameNonExistentError:
            return name
        listened = {topic for topic, types in topics if _LISTENED_TYPES.intersection(types)}
        image = self._node.resolve_topic_name("image")
        published = {publisher.topic_name for publisher in self._image_publishers()}
        unpublished = {image, transport_topic(image, "compressed")} - published
        if listened - unpublished or self._is_idle(full_name):
            return ""
        if not listened:
            return name
        return (
            f"{name}, which subscribes to {' and '.join(sorted(listened))}, while image_transport "
            f"publishes {' and '.join(sorted(published))}"
        )

    def _is_idle(self, full_name: str) -> bool:
        """Return whether a node is a matcher whose results nobody wants (parameter ``lazy``)."""
        try:
            topics = self._node.get_publisher_names_and_types_by_node(*split_name(full_name))
        except NodeNameNonExistentError:
            return False
        results = [topic for topic, types in topics if {_MATCHES_TYPE, _IMAGE_TYPE} & set(types)]
        return any(_MATCHES_TYPE in types for _, types in topics) and not any(
            self._node.count_subscribers(topic) for topic in results
        )

    def _play(self) -> None:
        published = 0
        due = reported = begun = time.monotonic()
        for frame, stamp_ns, interval in self._frames():
            self._read_beside(frame)
            now = time.monotonic()
            # Being late by less than a frame is made up for; more shifts all that follows.
            due = max(due + interval, now)
            if self._stop.wait(due - now):
                return
            self._publish(frame, stamp_ns)
            published += 1
            if due - reported >= _PROGRESS_PERIOD:
                reported = due
                total = f" of {self._total()}" if self._total() else ""
                rate = (published - 1) / (due - begun)
                self._node.get_logger().info(f"{published}{total} frames at {rate:.1f} Hz")
        skipped = f", {len(self._source.skipped)} skipped" if self._source.skipped else ""
        self._node.get_logger().info(f"end of {self._source.name}: {published} frames{skipped}")

    def _frames(self) -> Iterator[tuple[Frame, int, float]]:
        """Frames, their recorded stamps, and the seconds that lie between each and the last."""
        parameters = self.parameters
        previous_ns = None
        watch = StampWatch(
            self._warn,
            unusable="such frames are played as recorded, without a pause",
            restart="going on after a usual pause",
        )
        for frame, stamp_ns in play(
            self._source,
            start=parameters.start,
            step=parameters.step,
            count=parameters.count or None,
            again=lambda: self.parameters.loop and not self._stop.is_set(),
        ):
            if watch.add(stamp_ns, name=frame.name) is Order.RESTARTED:
                previous_ns = stamp_ns - round(NANOSECONDS / (self._source.rate or USUAL_RATE))
            yield frame, stamp_ns, self._interval(stamp_ns, previous_ns)
            previous_ns = stamp_ns

    def _interval(self, stamp_ns: int, previous_ns: int | None) -> float:
        if previous_ns is None or self._source.is_live:
            return 0.0
        return frame_interval(stamp_ns - previous_ns, self.parameters.rate, self.parameters.speed)

    def _total(self) -> int | None:
        """Frames of one pass; None when there is no end."""
        parameters = self.parameters
        if parameters.loop or (self._source.length is None and not parameters.count):
            return None
        if self._source.length is None:
            return parameters.count
        available = len(range(parameters.start, self._source.length, parameters.step))
        return min(available, parameters.count or available)

    def _publish(self, frame: Frame, stamp_ns: int) -> None:
        if self.parameters.stamp == "now":
            stamp_ns = self._node.get_clock().now().nanoseconds
        seconds, nanoseconds = divmod(stamp_ns, NANOSECONDS)
        if not 0 <= seconds < 2**31:
            raise ValueError(
                f"the stamp of {frame.name}, {show(stamp_ns)} s, is out of the range of ROS times, "
                "which end in 2038: play with stamp: now, or mend the times of the recording"
            )
        header = Header(
            stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=self._frame_id(frame)
        )
        # What belongs to the image goes first: who pairs them has it when the image comes in.
        height, width = frame.image.shape[:2]
        camera_info = to_camera_info(frame.calibration, width, height, header)
        self._camera_info_publisher.publish(camera_info)
        self._publish_beside(frame, header)
        try:
            self._images.publish(frame.image, frame.encoding, header)
        except ValueError as error:
            raise ValueError(f"{frame.name}: {error}") from error

    def _publish_beside(self, frame: Frame, header: Header) -> None:
        """Publish the depth and the right image that :meth:`_read_beside` has read."""
        if self._depths is not None and self._depths.is_wanted and frame.depth is not None:
            self._depths.publish_depth(frame.depth, header)
        if self._rights is not None and self._rights.is_wanted and frame.right is not None:
            right = frame.right
            height, width = right.image.shape[:2]
            calibration = None if right.camera is None else right.camera.calibration
            camera_info = to_camera_info(calibration, width, height, header)
            self._right_info_publisher.publish(camera_info)
            self._rights.publish(right.image, image_encoding(right.image), header)

    def _read_beside(self, frame: Frame) -> None:
        """Read the depth and the right image of a frame ahead of time, if anybody wants them."""
        if self._depths is not None and self._depths.is_wanted:
            frame.depth  # noqa: B018 (read once, and kept)
        if self._rights is not None and self._rights.is_wanted:
            frame.right  # noqa: B018

    def _frame_id(self, frame: Frame) -> str:
        return self.parameters.frame_id or frame.frame_id or "camera"

    def _warn(self, text: str) -> None:
        self._node.get_logger().warning(text)

    def _publishers(self) -> list[LifecyclePublisher]:
        others = [each.publishers for each in (self._depths, self._rights) if each is not None]
        return [*self._image_publishers(), *sum(others, []), self._camera_info_publisher]

    def _image_publishers(self) -> list[LifecyclePublisher]:
        return self._images.publishers


def frame_interval(recorded_ns: int, rate: float, speed: float) -> float:
    """Return the time in seconds between two frames.

    Args:
        recorded_ns: Time between them on record in nanoseconds; negative counts as 0.
        rate: Frame rate to play at in Hz; 0 plays as recorded.
        speed: Factor on the frame rate.
    """
    return (1.0 / rate if rate > 0 else max(recorded_ns, 0) / NANOSECONDS) / speed


def _describe(source: Source) -> str:
    length = "no end" if source.length is None else f"{source.length} frames"
    rate = f" at {source.rate:.4g} Hz" if source.rate else ""
    intrinsics = "" if source.camera else ", intrinsics unknown"
    if source.camera and source.camera.rectified:
        intrinsics = ", rectified (booster_node needs rectified:=true)"
    return f"{source.kind} {source.name}: {length}{rate}{intrinsics}"


class _LoggerBridge(logging.Handler):
    """Passes what the sources warn about, a frame skipped, to the node's logger."""

    def __init__(self, node: ImagePlayerNode) -> None:
        super().__init__(logging.WARNING)
        self._node = node

    def emit(self, record: logging.LogRecord) -> None:
        self._node.get_logger().warning(record.getMessage())


def main(args: Sequence[str] | None = None) -> int:
    """Run image_player_node; return the exit status, 1 also where playing failed."""
    return run(ImagePlayerNode, args)
