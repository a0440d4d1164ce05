# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""matcher_node: the features of a frame matched with those of an earlier one.

Subscribes to ``features`` (FeatureArray) and, only while somebody subscribes to ``match_image``, to
``image``; publishes ``matches`` (MatchArray), ``match_image`` (sensor_msgs/Image) and
``/diagnostics``.
"""

from __future__ import annotations

import array
import collections
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rclpy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from feature_booster_ros.booster.booster import resolve_device
from feature_booster_ros.camera import Camera
from feature_booster_ros.features import Features
from feature_booster_ros.matching import Matches, match, verify
from feature_booster_ros.matching.drawing import draw_matches
from feature_booster_ros.msg import FeatureArray, MatchArray
from feature_booster_ros.stamps import Order

from .camera_info import CameraInfoError, camera_of
from .diagnostics import DiagnosticsPublisher, FrameStatistics, StampMonitor
from .images import ImageError, compressed_to_gray, to_gray
from .lifecycle import ManagedNode, run
from .matcher_node_parameters import MatcherNodeParameters
from .messages import from_feature_array, stamp_of, to_match_array
from .newest_worker import NewestWorker
from .qos import stream_profile
from .timers import steady_timer

_SUBSCRIBER_CHECK_PERIOD = 0.5
"""Seconds between two looks for subscribers to match_image; Humble has no event for them."""


@dataclass(eq=False)
class _Frame:
    """The features of one image, and what is known of its camera."""

    header: Header
    features: Features
    camera: Camera | None
    width: int
    height: int
    kind: tuple[str, str, int, int]
    """Detector, model, descriptor type and length: only frames of one kind can be matched."""
    image: np.ndarray | None = None
    """(H, W) uint8, once it has been drawn on."""

    @property
    def stamp(self) -> int:
        """Nanoseconds."""
        return stamp_of(self)

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width


class MatcherNode(ManagedNode):
    """Matches the newest features with those of the previous frame or of the last keyframe."""

    parameter_type = MatcherNodeParameters
    parameters: MatcherNodeParameters

    def __init__(self) -> None:
        super().__init__("matcher_node")
        self._matches_publisher = None
        self._image_publisher = None
        self._features_subscription = None
        self._image_subscription = None
        self._subscriber_check = None
        self._worker: NewestWorker[FeatureArray] | None = None
        self._diagnostics: DiagnosticsPublisher | None = None
        self._statistics = FrameStatistics()
        self._images: collections.OrderedDict[int, Image | CompressedImage] = (
            collections.OrderedDict()
        )
        self._images_lock = threading.Lock()
        self._reference: _Frame | None = None

    # Lifecycle

    def configure(self) -> None:
        resolve_device(self.parameters.device)
        qos = stream_profile(
            self.parameters.qos_output_reliability, self.parameters.qos_output_depth
        )
        self._matches_publisher = self.create_lifecycle_publisher(MatchArray, "matches", qos)
        if self.parameters.match_image:
            self._image_publisher = self.create_lifecycle_publisher(Image, "match_image", qos)

    def activate(self) -> None:
        parameters = self.parameters
        self._statistics = FrameStatistics()
        self._reference = None
        self._stamps = StampMonitor(
            self,
            self._statistics.count,
            self.resolve_topic_name("features"),
            unusable="late frames are left out, those of one stamp matched as they come",
        )
        self._worker = NewestWorker(self._process, "matcher")
        self._features_subscription = self.create_subscription(
            FeatureArray,
            "features",
            self._receive,
            stream_profile(parameters.qos_input_reliability, parameters.qos_input_depth),
        )
        if self._image_publisher is not None:
            self._subscriber_check = steady_timer(
                self, _SUBSCRIBER_CHECK_PERIOD, self._follow_subscribers
            )
        self._diagnostics = DiagnosticsPublisher(
            self,
            self._statistics,
            self.resolve_topic_name("features"),
            parameters.diagnostics_period,
        )

    def deactivate(self) -> None:
        if self._subscriber_check is not None:
            self.destroy_timer(self._subscriber_check)
        if self._features_subscription is not None:
            self.destroy_subscription(self._features_subscription)
        self._unsubscribe_image()
        if self._worker is not None:
            self._worker.stop()
        if self._diagnostics is not None:
            self._diagnostics.destroy()
        self._subscriber_check = self._features_subscription = None
        self._worker = self._diagnostics = self._reference = None

    def cleanup(self) -> None:
        for publisher in (self._matches_publisher, self._image_publisher):
            if publisher is not None:
                self.destroy_lifecycle_publisher(publisher)
        self._matches_publisher = self._image_publisher = None

    def apply_parameters(self, new: MatcherNodeParameters) -> None:
        # The worker reads the parameters anew with each frame; the rest of them needs no check.
        resolve_device(new.device)

    # Executor's thread

    def _receive(self, message: FeatureArray) -> None:
        self._statistics.count("received")
        if self.parameters.lazy and not self._has_subscribers():
            self._statistics.count("idle")
            self._reference = None  # long ago by the time that somebody subscribes
            return
        if self._worker.submit(message):
            self._statistics.count("dropped")

    def _has_subscribers(self) -> bool:
        return any(
            publisher is not None and publisher.get_subscription_count() > 0
            for publisher in (self._matches_publisher, self._image_publisher)
        )

    def _follow_subscribers(self) -> None:
        """Subscribes to the images while somebody wants to see them."""
        wanted = self._image_publisher.get_subscription_count() > 0
        if wanted and self._image_subscription is None:
            compressed = self.parameters.image_transport == "compressed"
            self._image_subscription = self.create_subscription(
                CompressedImage if compressed else Image,
                self.resolve_topic_name("image") + ("/compressed" if compressed else ""),
                self._keep_image,
                stream_profile(
                    self.parameters.qos_image_reliability, self.parameters.qos_input_depth
                ),
            )
        elif not wanted:
            self._unsubscribe_image()

    def _unsubscribe_image(self) -> None:
        if self._image_subscription is not None:
            self.destroy_subscription(self._image_subscription)
        self._image_subscription = None
        with self._images_lock:
            self._images.clear()

    def _keep_image(self, message: Image | CompressedImage) -> None:
        stamp = stamp_of(message)
        with self._images_lock:
            # By time of arrival and not by stamp, which goes back when a bag loops.
            self._images.pop(stamp, None)
            self._images[stamp] = message
            while len(self._images) > self.parameters.image_buffer_size:
                self._images.popitem(last=False)

    # Worker's thread

    def _process(self, message: FeatureArray) -> None:
        try:
            order = self._stamps.add(stamp_of(message))
            if order is Order.OUT_OF_ORDER:
                return
            if order is Order.RESTARTED:
                self._reference = None
            self._match(message)
            self._statistics.count("processed")
        except Exception as error:
            if not rclpy.ok():  # Ctrl-C has taken the middleware away in the middle of the work
                return
            self._statistics.error(str(error))
            self.get_logger().error(f"frame skipped: {error}", throttle_duration_sec=5.0)
            self.get_logger().debug(traceback.format_exc())

    def _match(self, message: FeatureArray) -> None:
        parameters = self.parameters
        with self._statistics.stage("convert"):
            query = self._frame(message)
        reference = self._usable_reference(query)
        if reference is None:
            self._reference = query
            return
        with self._statistics.stage("match"):
            matches = match(
                query.features,
                reference.features,
                mutual=parameters.mutual,
                ratio=parameters.ratio if parameters.ratio < 1.0 else None,
                max_distance=parameters.max_distance or None,
                top_k=parameters.top_k or None,
                device=parameters.device,
            )
        with self._statistics.stage("verify"):
            inliers = self._verify(matches, query, reference, parameters)
        with self._statistics.stage("publish"):
            self._matches_publisher.publish(
                to_match_array(
                    matches,
                    query.features,
                    reference.features,
                    inliers,
                    query.header,
                    reference.header.stamp,
                )
            )
        self._reference = self._next_reference(matches, inliers, query, reference, parameters)
        if self._image_publisher is not None and self._image_publisher.get_subscription_count() > 0:
            with self._statistics.stage("draw"):
                self._publish_image(matches, inliers, query, reference, parameters)

    def _frame(self, message: FeatureArray) -> _Frame:
        if not (message.camera_info.width and message.camera_info.height):
            raise ValueError(
                "FeatureArray.camera_info has a width or height of 0: the publisher must fill both"
            )
        try:
            camera = camera_of(message.camera_info)
        except CameraInfoError as error:
            self._complain(error)
            camera = None
        return _Frame(
            message.header,
            from_feature_array(message),
            camera,
            message.camera_info.width,
            message.camera_info.height,
            (message.detector, message.model, message.descriptor_type, message.descriptor_length),
        )

    def _usable_reference(self, query: _Frame) -> _Frame | None:
        """The reference, or None, saying why, where it has nothing to do with the query."""
        reference = self._reference
        if reference is None:
            return None
        if reference.kind != query.kind:
            before, now = _describe_descriptors(reference), _describe_descriptors(query)
            reason = f"descriptors changed from {before} to {now}"
        elif query.header.frame_id != reference.header.frame_id:
            before, now = reference.header.frame_id, query.header.frame_id
            reason = f"the camera changed from {before!r} to {now!r}"
        else:
            return reference
        self.get_logger().warning(
            f"{reason}: starting anew from this frame", throttle_duration_sec=5.0
        )
        return None

    def _verify(
        self, matches: Matches, query: _Frame, reference: _Frame, parameters: MatcherNodeParameters
    ) -> np.ndarray:
        """(M,) bool, which matches agree with one camera motion."""
        query_points = query.features.keypoints[matches.indices[:, 0]]
        reference_points = reference.features.keypoints[matches.indices[:, 1]]
        matrices = None, None
        if query.camera is not None and reference.camera is not None:
            matrices = reference.camera.matrix, query.camera.matrix
            query_points = query.camera.undistort(query_points)
            reference_points = reference.camera.undistort(reference_points)
        return verify(
            reference_points,
            query_points,
            *matrices,
            threshold=parameters.threshold,
            confidence=parameters.confidence,
            max_iterations=parameters.max_iterations,
        ).inliers

    @staticmethod
    def _next_reference(
        matches: Matches,
        inliers: np.ndarray,
        query: _Frame,
        reference: _Frame,
        parameters: MatcherNodeParameters,
    ) -> _Frame:
        # Of images of two sizes, displacements in pixels say nothing of the view.
        if parameters.reference == "previous" or query.shape != reference.shape:
            return query
        if inliers.sum() < parameters.keyframe_min_inliers:
            # A frame with next to nothing in it, blurred or dark, would be no better a keyframe.
            return query if len(query.features) >= parameters.keyframe_min_inliers else reference
        indices = matches.indices[inliers]
        moved = (
            query.features.keypoints[indices[:, 0]] - reference.features.keypoints[indices[:, 1]]
        )
        displacement = np.median(np.linalg.norm(moved, axis=1)) if len(moved) else 0.0
        limit = parameters.keyframe_max_displacement * max(query.shape)
        return query if displacement > limit else reference

    def _publish_image(
        self,
        matches: Matches,
        inliers: np.ndarray,
        query: _Frame,
        reference: _Frame,
        parameters: MatcherNodeParameters,
    ) -> None:
        for frame in (query, reference):
            if frame.image is None:
                frame.image = self._image_of(frame, parameters)
        missing = query.image is None
        blank = np.zeros(query.shape, np.uint8)
        picture = draw_matches(
            blank if missing else query.image,
            blank if reference.image is None else reference.image,
            query.features.keypoints[matches.indices[:, 0]],
            reference.features.keypoints[matches.indices[:, 1]],
            inliers,
            parameters.match_image_layout,
            f"{query.kind[0]} {query.kind[1]}" + (", no image with this stamp" if missing else ""),
            parameters.match_image_max_lines,
        )
        message = Image()
        message.header = query.header
        message.height, message.width = picture.shape[:2]
        message.encoding = "bgr8"
        message.step = message.width * 3
        message.data = array.array("B")
        message.data.frombytes(picture.tobytes())
        self._image_publisher.publish(message)

    def _image_of(self, frame: _Frame, parameters: MatcherNodeParameters) -> np.ndarray | None:
        """The frame's image, or None if it has not come or does not fit."""
        with self._images_lock:
            message = self._images.get(frame.stamp)
        if message is None:
            return None
        convert = to_gray if isinstance(message, Image) else compressed_to_gray
        try:
            image = convert(message, parameters.wide_pixels)
        except ImageError as error:
            self._complain(error)
            return None
        return image if image.shape == frame.shape else None

    def _complain(self, error: ValueError) -> None:
        self._statistics.error(str(error))
        self.get_logger().error(f"{error}. Going on without it", throttle_duration_sec=5.0)


def _describe_descriptors(frame: _Frame) -> str:
    detector, model, _, length = frame.kind
    return f"{detector} {model} of {length} {'bits' if frame.features.is_binary else 'floats'}"


def main(args: Sequence[str] | None = None) -> int:
    """Runs matcher_node; the exit status."""
    return run(MatcherNode, args)
