# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""odometry_node: where the robot is, from the features of its camera.

Subscribes to ``features`` (FeatureArray); publishes ``odometry`` (nav_msgs/Odometry), ``path``
(nav_msgs/Path), ``landmarks`` (sensor_msgs/PointCloud2), TF and ``/diagnostics``; serves
``~/reset`` (std_srvs/Trigger). docs/odometry_node.md says what they mean.
"""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry, Path
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from feature_booster_ros.msg import FeatureArray

from .coordinate_frames import (
    base_from_optical,
    covariance_to_odom,
    parse_pose,
    points_to_odom,
    rotate_covariance,
    to_odom,
    twist_between,
)
from .diagnostics import DiagnosticsPublisher, FrameStatistics, StampMonitor
from .lifecycle import ManagedNode, run
from .newest_worker import NewestWorker
from .odometry_messages import to_odometry, to_path, to_point_cloud, to_transform
from .odometry_node_parameters import OdometryNodeParameters
from .qos import stream_profile
from .signal_handlers import keep_handler
from .transform_broadcaster import TransformBroadcaster

if TYPE_CHECKING:
    from feature_booster_ros.odometry import Estimate

    from .feature_stream import FeatureStream

_UNKNOWN_VARIANCE = 1e6
"""Of a twist that is not known, in (m/s)^2 and (rad/s)^2; it is published as zero."""


class OdometryNode(ManagedNode):
    """Follows the camera, one frame after the other."""

    parameter_type = OdometryNodeParameters
    parameters: OdometryNodeParameters

    def __init__(self) -> None:
        super().__init__("odometry_node")
        self._odometry_publisher = None
        self._path_publisher = None
        self._landmarks_publisher = None
        self._broadcaster: TransformBroadcaster | None = None
        self._reset_service = None
        self._features_subscription = None
        self._worker: NewestWorker[FeatureArray] | None = None
        self._diagnostics: DiagnosticsPublisher | None = None
        self._statistics = FrameStatistics()
        self._base_from_optical = np.eye(4)
        # Of the stream and the estimate: ~/reset comes in the executor's thread.
        self._lock = threading.Lock()
        self._stream: FeatureStream | None = None
        self._estimate: Estimate | None = None
        self._published: dict[str, float] = {}

    # Lifecycle

    def configure(self) -> None:
        # Here and not above: importing the odometry fails where poselib or pycolmap is missing, and
        # says what to do. pycolmap has glog take SIGTERM for a crash.
        with keep_handler(signal.SIGTERM):
            from feature_booster_ros.odometry import OdometrySettings

            from .feature_stream import FeatureStream

        parameters = self.parameters
        self._stream = FeatureStream(
            OdometrySettings(**parameters.odometry_settings()),
            self.get_logger(),
            StampMonitor(
                self,
                lambda fault: self._statistics.count(fault),  # of the activation at hand
                self.resolve_topic_name("features"),
            ),
        )
        self._base_from_optical = base_from_optical(parse_pose(parameters.camera_pose))
        qos = stream_profile(parameters.qos_output_reliability, parameters.qos_output_depth)
        self._odometry_publisher = self.create_lifecycle_publisher(Odometry, "odometry", qos)
        self._path_publisher = self.create_lifecycle_publisher(Path, "path", qos)
        self._landmarks_publisher = self.create_lifecycle_publisher(PointCloud2, "landmarks", qos)
        if parameters.publish_tf:
            self._broadcaster = TransformBroadcaster(self)
        self._reset_service = self.create_service(Trigger, "~/reset", self._reset)

    def activate(self) -> None:
        parameters = self.parameters
        self._statistics = FrameStatistics()
        # The map is kept while inactive: what passes meanwhile is a gap like any other.
        self._published = {}
        self._worker = NewestWorker(self._process, "odometry", parameters.queue_size)
        self._diagnostics = DiagnosticsPublisher(
            self,
            self._statistics,
            self.resolve_topic_name("features"),
            parameters.diagnostics_period,
            self._condition,
        )
        self._features_subscription = self.create_subscription(
            FeatureArray,
            "features",
            self._receive,
            stream_profile(parameters.qos_input_reliability, parameters.qos_input_depth),
        )

    def deactivate(self) -> None:
        if self._features_subscription is not None:
            self.destroy_subscription(self._features_subscription)
        if self._worker is not None:
            self._worker.stop()
        if self._diagnostics is not None:
            self._diagnostics.destroy()
        self._features_subscription = self._worker = self._diagnostics = None

    def cleanup(self) -> None:
        for publisher in (
            self._odometry_publisher,
            self._path_publisher,
            self._landmarks_publisher,
        ):
            if publisher is not None:
                self.destroy_lifecycle_publisher(publisher)
        if self._broadcaster is not None:
            self._broadcaster.destroy()
        if self._reset_service is not None:
            self.destroy_service(self._reset_service)
        self._odometry_publisher = self._path_publisher = self._landmarks_publisher = None
        self._broadcaster = self._reset_service = self._stream = self._estimate = None

    # Executor's thread

    def _receive(self, message: FeatureArray) -> None:
        # Never idle, unlike the other nodes: to see the whole way is the point, and TF's listeners
        # cannot be told from RViz.
        self._statistics.count("received")
        if self._worker.submit(message):
            self._statistics.count("dropped")

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            self._stream.reset()
            self._estimate = None
            self._tell()
        self.get_logger().info("reset, as asked: the next frame is the origin")
        response.success = True
        response.message = "all is forgotten: the next frame is the origin"
        return response

    def _condition(self) -> tuple[bytes, str]:
        """For /diagnostics."""
        estimate = self._estimate
        if estimate is None:
            return DiagnosticStatus.WARN, "no frame tracked yet"
        level = DiagnosticStatus.OK if _is_tracking(estimate) else DiagnosticStatus.WARN
        return level, _describe(estimate)

    # Worker's thread

    def _process(self, message: FeatureArray) -> None:
        try:
            with self._lock:
                is_tracked = self._track(message)
                if is_tracked:
                    self._statistics.count("processed")
                self._tell()
        except Exception as error:
            if not rclpy.ok():  # Ctrl-C has taken the middleware away in the middle of the work
                return
            self._statistics.error(str(error))
            self.get_logger().error(f"frame skipped: {error}", throttle_duration_sec=5.0)
            self.get_logger().debug(traceback.format_exc())

    def _track(self, message: FeatureArray) -> bool:
        """Whether the frame was taken, and not left out for its stamp."""
        with self._statistics.stage("convert"):
            frame = self._stream.read(message)
        resets = self._stream.resets
        estimate = self._stream.track(frame, self.parameters.jump_back)
        if estimate is None:
            return False
        last = self._estimate if self._stream.resets == resets else None
        self._log_change(last, estimate)
        self._estimate = estimate
        self._statistics.record("track", estimate.tracking_seconds)
        if estimate.is_keyframe:
            self._statistics.record("map", estimate.mapping_seconds)
        with self._statistics.stage("publish"):
            header = Header(stamp=message.header.stamp, frame_id=self.parameters.odom_frame)
            if estimate.pose is not None:
                self._publish_pose(header, last, estimate)
            self._publish_map(header)
        return True

    def _publish_pose(self, header: Header, last: Estimate | None, estimate: Estimate) -> None:
        base, camera = self.parameters.base_frame, self._base_from_optical
        pose = to_odom(camera, estimate.pose)
        twist, twist_covariance = self._twist(last, estimate)
        self._odometry_publisher.publish(
            to_odometry(
                header,
                base,
                pose,
                covariance_to_odom(camera, estimate.covariance, estimate.pose),
                twist,
                twist_covariance,
            )
        )
        if self._broadcaster is not None:
            self._broadcaster.send(to_transform(header, base, pose))

    def _twist(self, last: Estimate | None, estimate: Estimate) -> tuple[np.ndarray, np.ndarray]:
        """The base's mean twist (6,) since the last frame in its own axes, and its covariance."""
        seconds = 0.0 if last is None else estimate.stamp - last.stamp
        if (
            last is None
            or seconds > self.parameters.max_gap
            or last.map_number != estimate.map_number
            # While there is no map the translation is held, and one frame then makes up for it.
            or not (_is_tracking(last) and _is_tracking(estimate))
        ):
            return np.zeros(6), _UNKNOWN_VARIANCE * np.eye(6)
        camera = self._base_from_optical
        before, now = to_odom(camera, last.pose), to_odom(camera, estimate.pose)
        difference = sum(
            covariance_to_odom(camera, each.frame_covariance, each.pose)
            for each in (last, estimate)
        )
        return (
            twist_between(before, now, seconds),
            rotate_covariance(now[:3, :3].T, difference) / seconds**2,
        )

    def _publish_map(self, header: Header) -> None:
        """Publishes path and landmarks to who listens, no more often than wanted."""
        parameters, camera = self.parameters, self._base_from_optical
        if self._is_due(self._path_publisher, parameters.path_period):
            stamps, poses = self._stream.trajectory()
            shown = _evenly(len(stamps), parameters.path_length)
            self._path_publisher.publish(
                to_path(header, [stamps[i] for i in shown], to_odom(camera, poses[shown]))
            )
        if self._is_due(self._landmarks_publisher, parameters.landmarks_period):
            landmarks = self._stream.landmarks()
            points = points_to_odom(camera, landmarks.positions)
            self._landmarks_publisher.publish(
                to_point_cloud(header, points, landmarks.observations)
            )

    def _is_due(self, publisher, period: float) -> bool:
        if publisher.get_subscription_count() == 0:
            return False
        now, topic = time.monotonic(), publisher.topic_name
        if now - self._published.get(topic, -np.inf) < period:
            return False
        self._published[topic] = now
        return True

    def _log_change(self, last: Estimate | None, estimate: Estimate) -> None:
        if last is not None and estimate.map_number != last.map_number:
            self.get_logger().warning(
                f"{_describe(estimate)}: it goes on from the last pose, and its scale is a guess"
            )
        elif last is not None and last.state is estimate.state:
            return
        elif _is_tracking(estimate):
            self.get_logger().info(_describe(estimate))
        elif last is not None:
            self.get_logger().warning(_describe(estimate))

    def _tell(self) -> None:
        """Puts what is known into the diagnostics."""
        if self._diagnostics is None:
            return
        values = {
            "features": self._stream.descriptors,
            "resets": str(self._stream.resets),
        }
        if self._estimate is not None:
            values["state"] = self._estimate.state.value
            for name in ("reason", "map_number", "inliers", "matches", "landmarks"):
                values[name] = str(getattr(self._estimate, name))
        self._diagnostics.settings = values


def _is_tracking(estimate: Estimate) -> bool:
    return estimate.state.value == "tracking"


def _describe(estimate: Estimate) -> str:
    state = estimate.state.value
    reason = estimate.reason.removeprefix(f"{state}: ")
    return f"{state}: {reason}" if reason else state


def _evenly(count: int, maximum: int) -> np.ndarray:
    """Indices of at most ``maximum`` of ``count`` elements, the first and the last among them."""
    return np.linspace(0, count - 1, min(count, maximum)).round().astype(int)


def main(args: Sequence[str] | None = None) -> int:
    """Runs odometry_node; the exit status."""
    return run(OdometryNode, args)
