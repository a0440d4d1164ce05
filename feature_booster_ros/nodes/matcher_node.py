# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""matcher_node: match the features of each frame with those of an earlier one.

Subscribes to ``features`` (FeatureArray) while somebody subscribes to its results, and to ``image``
(sensor_msgs/Image, or ``image/compressed``) while somebody subscribes to ``match_image``; publishes
``matches`` (MatchArray), ``match_image`` (sensor_msgs/Image), ``match_image/compressed`` (JPEG as
sensor_msgs/CompressedImage), where foxglove_msgs is installed ``image_annotations``
(foxglove_msgs/ImageAnnotations), and ``/diagnostics``.
"""

from __future__ import annotations

import collections
import threading
import weakref
from collections.abc import Sequence

import numpy as np
from rclpy.lifecycle import LifecyclePublisher
from sensor_msgs.msg import CompressedImage, Image

from feature_booster_ros.booster.booster import resolve_device
from feature_booster_ros.camera import Camera
from feature_booster_ros.features import Continuity, FeatureFrame
from feature_booster_ros.matching import FrameMatch, FrameMatcher
from feature_booster_ros.matching.drawing import draw_matches
from feature_booster_ros.msg import FeatureArray, MatchArray
from feature_booster_ros.stamps import Order, StampWatch

from .camera_info import CameraInfoError, camera_of
from .diagnostics import FrameMonitor
from .image_annotations import ImageAnnotations, to_image_annotations
from .images import (
    ImageError,
    message_to_gray,
    to_compressed_image,
    to_image,
    transport_topic,
)
from .lifecycle import ManagedNode, Resources, Work
from .matcher_node_parameters import MatcherNodeParameters
from .messages import stamp_of, to_feature_frame, to_header, to_match_array
from .process import run
from .qos import stream_profile
from .workers import NewestWorker

_SUBSCRIBER_CHECK_PERIOD = 0.2
"""Time between two looks for subscribers to the results [s]; Humble has no event for them."""
_JPEG_QUALITY = 90  # Of match_image/compressed, in percent.


class MatcherNode(ManagedNode):
    """Match the newest features with those of the previous frame or of the last keyframe."""

    node_name = "matcher_node"
    parameter_type = MatcherNodeParameters
    parameters: MatcherNodeParameters
    example = "-r features:=/booster/features -p reference:=keyframe"

    def configure(self, resources: Resources) -> Work:
        """Make the publishers."""
        return MatcherWork(self, resources)


class MatcherWork(Work):
    """The work of a configured matcher_node."""

    def __init__(self, node: MatcherNode, resources: Resources) -> None:
        parameters, qos = node.parameters, node.parameters.output_profile()
        resolve_device(parameters.device)
        self._node = node
        self._topic = node.resolve_topic_name("features")
        self._matcher = FrameMatcher(parameters.matcher_settings())
        self._frames = FrameMonitor(node, self._topic, parameters.diagnostics_period)
        self._publisher = resources.lifecycle_publisher(MatchArray, "matches", qos)
        self._annotations: LifecyclePublisher | None = None
        if ImageAnnotations is not None:
            self._annotations = resources.lifecycle_publisher(
                ImageAnnotations, "image_annotations", qos
            )
        self._pictures: MatchPictures | None = None
        if parameters.match_image:
            self._pictures = MatchPictures(node, resources)
        self._subscription = Resources(node)
        self._is_subscribed = False

    def activate(self, resources: Resources) -> str:
        """Subscribe to features, if parameter ``lazy`` allows now or as soon as it does."""
        self._frames.activate(resources)
        resources.callback(self._unsubscribe)
        self._follow_subscribers()
        resources.timer(_SUBSCRIBER_CHECK_PERIOD, self._follow_subscribers)
        if self._is_subscribed:
            return f"waiting for {self._topic}"
        topic = self._publisher.topic_name
        return f"waiting for a subscription to {topic} or match_image, then for {self._topic}"

    def apply_parameters(self, new: MatcherNodeParameters) -> None:
        """Match the next frame with the new settings."""
        resolve_device(new.device)
        self._matcher.settings = new.matcher_settings()

    # Executor's thread

    def _follow_subscribers(self) -> None:
        """Subscribe to what the results that somebody wants are made of."""
        pictures_wanted = self._pictures is not None and self._pictures.follow_subscribers()
        wanted = (
            not self._node.parameters.lazy
            or pictures_wanted
            or self._publisher.get_subscription_count() > 0
            or (self._annotations is not None and self._annotations.get_subscription_count() > 0)
        )
        if wanted and not self._is_subscribed:
            self._subscribe()
        elif not wanted and self._is_subscribed:
            self._unsubscribe()
        self._frames.is_idle = not wanted

    def _subscribe(self) -> None:
        self._matcher.reset()
        self._continuity = Continuity(
            StampWatch(
                self._frames.warn,
                unusable="late frames are left out, those of one stamp matched as they come",
            )
        )
        worker = NewestWorker(self._process, "matcher")
        self._subscription.callback(worker.stop)

        def receive(message: FeatureArray) -> None:
            self._frames.count("received")
            if worker.submit(message):
                self._frames.count("dropped")

        self._subscription.subscription(
            FeatureArray, "features", receive, self._node.parameters.input_profile()
        )
        self._is_subscribed = True

    def _unsubscribe(self) -> None:
        self._subscription.close()
        self._is_subscribed = False
        if self._pictures is not None:
            self._pictures.unsubscribe()

    # Worker's thread

    def _process(self, message: FeatureArray) -> None:
        with self._frames.skip_on_error():
            with self._frames.stage("convert"):
                limit = self._node.parameters.max_input_features
                frame = to_feature_frame(message, self._camera(message), limit)
            order = self._continuity.add(frame)
            self._frames.count_order(order)
            if order is Order.OUT_OF_ORDER:
                return
            if order is Order.RESTARTED:
                self._matcher.reset()
            result = self._matcher.match(frame)
            if result is not None:
                self._publish(result)
            self._frames.count("processed")

    def _camera(self, message: FeatureArray) -> Camera | None:
        try:
            return camera_of(message.camera_info)
        except CameraInfoError as error:
            self._frames.report(error, "going on without intrinsics")
            return None

    def _publish(self, result: FrameMatch) -> None:
        self._frames.record("match", result.matching_seconds)
        self._frames.record("verify", result.verifying_seconds)
        with self._frames.stage("publish"):
            self._publisher.publish(
                to_match_array(
                    result.matches,
                    result.query.features,
                    result.reference.features,
                    result.inliers,
                    to_header(result.query),
                    to_header(result.reference).stamp,
                )
            )
        if self._annotations is not None and self._annotations.get_subscription_count() > 0:
            with self._frames.stage("annotate"):
                limit = self._node.parameters.match_image_max_lines
                self._annotations.publish(to_image_annotations(result, limit))
        if self._pictures is not None and self._pictures.are_wanted:
            with self._frames.stage("draw"):
                self._pictures.publish(result, self._frames)


class MatchPictures:
    """Draw matches on the images of their frames, while somebody subscribes to ``match_image``.

    Args:
        node: That publishes.
        resources: Of the configured node.
    """

    def __init__(self, node: MatcherNode, resources: Resources) -> None:
        self._node = node
        qos = node.parameters.output_profile()
        self._publisher = resources.lifecycle_publisher(Image, "match_image", qos)
        topic = transport_topic(self._publisher.topic_name, "compressed")
        self._compressed_publisher = resources.lifecycle_publisher(CompressedImage, topic, qos)
        self._subscription = Resources(node)
        self._is_subscribed = False
        # Messages by stamp, until their features come; images of frames that were drawn on.
        self._messages: collections.OrderedDict[int, Image | CompressedImage] = (
            collections.OrderedDict()
        )
        self._images: weakref.WeakKeyDictionary[FeatureFrame, np.ndarray] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()  # of the messages

    @property
    def are_wanted(self) -> bool:
        """Whether somebody subscribes to ``match_image`` or its compressed form."""
        publishers = self._publisher, self._compressed_publisher
        return any(publisher.get_subscription_count() > 0 for publisher in publishers)

    def follow_subscribers(self) -> bool:
        """Subscribe to the images if pictures are wanted, else unsubscribe; return which."""
        if not self.are_wanted:
            self.unsubscribe()
        elif not self._is_subscribed:
            parameters = self._node.parameters
            transport = parameters.image_transport
            self._subscription.subscription(
                CompressedImage if transport == "compressed" else Image,
                transport_topic(self._node.resolve_topic_name("image"), transport),
                self._keep,
                stream_profile(parameters.qos_image_reliability, parameters.qos_input_depth),
            )
            self._is_subscribed = True
        return self._is_subscribed

    def unsubscribe(self) -> None:
        """End the subscription to images, and drop those that wait."""
        self._subscription.close()
        self._is_subscribed = False
        with self._lock:
            self._messages.clear()

    def publish(self, result: FrameMatch, frames: FrameMonitor) -> None:
        """Publish a picture of matches; an image that is missing is black. From any thread."""
        parameters = self._node.parameters
        query = self._image_of(result.query, frames)
        reference = self._image_of(result.reference, frames)
        model = result.query.model
        caption = result.query.detector if model == "none" else model
        picture = draw_matches(
            np.zeros(result.query.shape, np.uint8) if query is None else query,
            np.zeros(result.reference.shape, np.uint8) if reference is None else reference,
            result.query_points,
            result.reference_points,
            result.inliers,
            parameters.match_image_layout,
            caption + (", no image with this stamp" if query is None else ""),
            parameters.match_image_max_lines,
            max_width=parameters.match_image_max_width or None,
        )
        header = to_header(result.query)
        if self._publisher.get_subscription_count() > 0:
            self._publisher.publish(to_image(picture, "bgr8", header))
        if self._compressed_publisher.get_subscription_count() > 0:
            self._compressed_publisher.publish(
                to_compressed_image(picture, "bgr8", header, _JPEG_QUALITY)
            )

    def _keep(self, message: Image | CompressedImage) -> None:
        stamp = stamp_of(message)
        with self._lock:
            # By time of arrival and not by stamp, which goes back when a bag loops.
            self._messages.pop(stamp, None)
            self._messages[stamp] = message
            while len(self._messages) > self._node.parameters.image_buffer_size:
                self._messages.popitem(last=False)

    def _image_of(self, frame: FeatureFrame, frames: FrameMonitor) -> np.ndarray | None:
        """Return the frame's image, or None if it has not come or does not fit."""
        if frame in self._images:
            return self._images[frame]
        with self._lock:
            message = self._messages.get(frame.stamp_ns)
        if message is None:
            return None
        try:
            image = message_to_gray(message, self._node.parameters.wide_pixels)
        except ImageError as error:
            frames.report(error, "drawing without the image")
            return None
        if image.shape != frame.shape:
            return None
        self._images[frame] = image
        return image


def main(args: Sequence[str] | None = None) -> int:
    """Run matcher_node; return the exit status."""
    return run(MatcherNode, args)
