# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""odometry_node: estimate the motion of a robot from the features of its camera.

Subscribes to ``features`` (FeatureArray) and, where one is set up, to ``imu`` (sensor_msgs/Imu),
which tells what is up; publishes ``odometry`` (nav_msgs/Odometry), ``path``
(nav_msgs/Path), ``landmarks`` (sensor_msgs/PointCloud2), TF and ``/diagnostics``; serves
``~/reset`` (std_srvs/Trigger). docs/odometry_node.md explains them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry, Path
from rclpy.lifecycle import LifecyclePublisher
from sensor_msgs.msg import Imu, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from feature_booster_ros.msg import FeatureArray
from feature_booster_ros.stamps import StampWatch

from .camera_info import CameraInfoError, camera_of
from .coordinate_frames import level_from_base, parse_rotation
from .diagnostics import FrameMonitor
from .gravity import GravityEstimator
from .lifecycle import ManagedNode, Resources, Work
from .messages import to_feature_frame
from .odometry_messages import to_path, to_point_cloud
from .odometry_node_parameters import OdometryNodeParameters
from .pose_messages import PoseMessages, is_tracking
from .process import run
from .qos import stream_profile
from .workers import NewestWorker

# Broadcasting needs nothing but the message, so tf2_ros, which needs C++, is not used. Both come
# with a ROS 2 distribution and are not on PyPI.
try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

if TYPE_CHECKING:
    from feature_booster_ros.odometry import Estimate

_IMU_SAMPLES_KEPT = 50  # Depth of imu: a tenth of a second at 500 Hz.
_TRANSFORMS_KEPT = 100  # Depth of /tf, as in tf2_ros, so that a listener receives bursts whole.


class OdometryNode(ManagedNode):
    """Track the camera from frame to frame."""

    node_name = "odometry_node"
    parameter_type = OdometryNodeParameters
    parameters: OdometryNodeParameters
    example = '-r features:=/booster/features -p camera_pose:="0.2 0 0.5 0 0.1 0"'

    def configure(self, resources: Resources) -> Work:
        """Load the odometry and make the publishers."""
        return OdometryWork(self, resources)


class OdometryWork(Work):
    """The work of a configured odometry_node.

    The map is kept while the node is inactive: what passes meanwhile is a gap like any other.
    """

    def __init__(self, node: OdometryNode, resources: Resources) -> None:
        # Imported here because it fails without poselib, and says what to install.
        from feature_booster_ros.odometry import OdometrySettings

        from .feature_stream import FeatureStream

        parameters, qos = node.parameters, node.parameters.output_profile()
        self._node = node
        self._topic = node.resolve_topic_name("features")
        self._frames = FrameMonitor(
            node, self._topic, parameters.diagnostics_period, self._condition, self._values
        )
        # Frames are tracked while their predecessors are mapped.
        mapper = ThreadPoolExecutor(1, "mapping")
        resources.callback(mapper.shutdown)
        self._stream = FeatureStream(
            OdometrySettings(**parameters.odometry_settings()),
            StampWatch(
                self._frames.warn,
                restart="starting again, this frame is the origin",
                confirm=True,  # a restart loses the map
            ),
            self._log_info,
            mapper,
        )
        self._lock = threading.Lock()  # of the stream; ~/reset comes in the executor's thread
        self._estimate: Estimate | None = None
        self._pose_messages = PoseMessages(parameters)
        self._gravity = GravityEstimator() if parameters.imu_rotation else None
        self._is_level = False  # whether odom's z axis is up, for this origin
        self._odometry_publisher = resources.lifecycle_publisher(Odometry, "odometry", qos)
        self._path = _MapPublisher(resources.lifecycle_publisher(Path, "path", qos))
        self._landmarks = _MapPublisher(
            resources.lifecycle_publisher(PointCloud2, "landmarks", qos)
        )
        self._broadcaster = None
        if parameters.publish_tf:
            self._broadcaster = _TransformBroadcaster(node, resources)
        resources.service(Trigger, "~/reset", self._reset)

    def activate(self, resources: Resources) -> str:
        """Subscribe to features and start the thread that tracks them."""
        parameters = self._node.parameters
        self._frames.activate(resources)
        resources.callback(self._finish_mapping)
        self._worker = NewestWorker(self._process, "odometry", parameters.queue_size)
        resources.callback(self._worker.stop)
        resources.subscription(FeatureArray, "features", self._receive, parameters.input_profile())
        if self._gravity is not None:
            profile = stream_profile("best_effort", _IMU_SAMPLES_KEPT)
            resources.subscription(Imu, "imu", self._gravity.add, profile)
        return f"waiting for {self._topic}"

    # Executor's thread

    def _receive(self, message: FeatureArray) -> None:
        # Never idle, unlike the other nodes: the whole trajectory is wanted, and subscriptions to
        # /tf do not say whose transforms they are for.
        self._frames.count("received")
        if self._worker.submit(message):
            self._frames.count("dropped")

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            self._stream.reset()
            self._estimate = None
            self._is_level = False
        self._log_info("reset, as asked: the next frame is the origin")
        response.success = True
        response.message = "everything is forgotten: the next frame is the origin"
        return response

    def _condition(self) -> tuple[bytes, str]:
        estimate = self._estimate
        if estimate is None and self._gravity is not None and not self._is_level:
            return DiagnosticStatus.WARN, (
                "waiting for imu to tell what is up: an orientation at the time of the image, or "
                "an accelerometer that is still"
            )
        if estimate is None:
            return DiagnosticStatus.WARN, "no frame tracked yet"
        level = DiagnosticStatus.OK if is_tracking(estimate) else DiagnosticStatus.WARN
        return level, _describe(estimate)

    def _values(self) -> dict[str, str]:
        values = {
            "features": self._stream.descriptors,
            "resets": str(self._stream.resets),
            "is_mapping": str(self._stream.is_mapping),
        }
        estimate = self._estimate
        if estimate is not None:
            values["state"] = estimate.state.value
            for name in ("reason", "is_metric", "map_number", "inliers", "matches", "landmarks"):
                values[name] = str(getattr(estimate, name))
        return values

    def _finish_mapping(self) -> None:
        with self._frames.skip_on_error(), self._lock:
            self._stream.finish_mapping()

    # Worker's thread

    def _process(self, message: FeatureArray) -> None:
        with self._frames.skip_on_error(), self._lock:
            if self._track(message):
                self._frames.count("processed")

    def _track(self, message: FeatureArray) -> bool:
        """Return whether the frame was tracked, and not left out for its stamp."""
        with self._frames.stage("convert"):
            camera = camera_of(message.camera_info)
            if camera is None:
                raise CameraInfoError(
                    "FeatureArray.camera_info has no intrinsics (k is zero), which the odometry "
                    "needs: have booster_node take camera_info (use_camera_info: true), and "
                    "calibrate the camera if its driver publishes none"
                )
            frame = to_feature_frame(message, camera, self._node.parameters.max_input_features)
        if not self._is_level and not self._level_odom(frame.stamp_ns):
            return False
        resets = self._stream.resets
        order, estimate = self._stream.track(frame, self._node.parameters.jump_back)
        self._frames.count_order(order)
        if estimate is None:
            return False
        last = self._estimate
        if self._stream.resets != resets:
            last, self._is_level = None, False
            if not self._level_odom(frame.stamp_ns):
                self._stream.reset()
                self._estimate = None
                return False
        self._log_change(last, estimate)
        self._estimate = estimate
        self._frames.record("track", estimate.tracking_seconds)
        if estimate.mapping_seconds:
            self._frames.record("map", estimate.mapping_seconds)
        with self._frames.stage("publish"):
            header = Header(stamp=message.header.stamp, frame_id=self._node.parameters.odom_frame)
            self._publish_pose(header, last, estimate)
            self._publish_map(header)
        return True

    def _level_odom(self, stamp: int) -> bool:
        """Make odom's z axis point up for an origin at a time [ns]; return whether up is known."""
        if self._gravity is not None:
            up = self._gravity.up(stamp)
            if up is None:
                return False
            rotation = parse_rotation(self._node.parameters.imu_rotation)
            self._pose_messages.level = level_from_base(rotation @ up)
        self._is_level = True
        return True

    def _publish_pose(self, header: Header, last: Estimate | None, estimate: Estimate) -> None:
        """Publish odometry and the transform, if the pose is known."""
        messages = self._pose_messages.convert(header, last, estimate)
        if messages is None:
            return
        odometry, transform = messages
        self._odometry_publisher.publish(odometry)
        if self._broadcaster is not None:
            self._broadcaster.send(transform)

    def _publish_map(self, header: Header) -> None:
        """Publish path and landmarks, if somebody subscribes and their period has passed."""
        parameters, frames = self._node.parameters, self._pose_messages
        if self._path.is_due(parameters.path_period):
            stamps, poses = self._stream.trajectory()
            shown = _evenly(len(stamps), parameters.path_length)
            self._path.publisher.publish(
                to_path(header, [stamps[i] for i in shown], frames.to_odom(poses[shown]))
            )
        if self._landmarks.is_due(parameters.landmarks_period):
            landmarks = self._stream.landmarks()
            points = frames.points_to_odom(landmarks.positions)
            self._landmarks.publisher.publish(
                to_point_cloud(header, points, landmarks.observations)
            )

    def _log_change(self, last: Estimate | None, estimate: Estimate) -> None:
        log = self._node.get_logger()
        if last is not None and estimate.map_number != last.map_number:
            scale = "" if estimate.is_metric else ", and its scale is a guess"
            log.warning(f"{_describe(estimate)}: it goes on from the last pose{scale}")
        elif last is not None and last.state is estimate.state:
            return
        elif is_tracking(estimate):
            log.info(_describe(estimate))
        elif last is not None:
            log.warning(_describe(estimate))

    def _log_info(self, text: str) -> None:
        self._node.get_logger().info(text)


class _TransformBroadcaster:
    """Publish transforms; without tf2_msgs, warn at construction and then do nothing.

    Args:
        node: That publishes.
        resources: Of the node, in which the publisher is kept.
    """

    def __init__(self, node: OdometryNode, resources: Resources) -> None:
        self._publisher = None
        if TFMessage is None:
            node.get_logger().warning(
                "tf2_msgs is not installed: no transforms are published. It comes with a ROS 2 "
                "distribution; with publish_tf:=false there is no such warning"
            )
        else:
            self._publisher = resources.publisher(
                TFMessage, "/tf", stream_profile("reliable", _TRANSFORMS_KEPT)
            )

    def send(self, transform: TransformStamped) -> None:
        """Publish one transform."""
        if self._publisher is not None:
            self._publisher.publish(TFMessage(transforms=[transform]))


class _MapPublisher:
    """A publisher of something large: only while somebody subscribes, and not too often."""

    def __init__(self, publisher: LifecyclePublisher) -> None:
        self.publisher = publisher
        self._published = -np.inf

    def is_due(self, period: float) -> bool:
        """Return whether to publish now; ``period`` is the shortest time between two messages."""
        now = time.monotonic()
        if self.publisher.get_subscription_count() == 0 or now - self._published < period:
            return False
        self._published = now
        return True


def _describe(estimate: Estimate) -> str:
    state = estimate.state.value
    reason = estimate.reason.removeprefix(f"{state}: ")
    return f"{state}: {reason}" if reason else state


def _evenly(count: int, maximum: int) -> np.ndarray:
    """Return indices of at most ``maximum`` of ``count`` elements, with the first and the last."""
    return np.linspace(0, count - 1, min(count, maximum)).round().astype(int)


def main(args: Sequence[str] | None = None) -> int:
    """Run odometry_node; return the exit status."""
    return run(OdometryNode, args)
