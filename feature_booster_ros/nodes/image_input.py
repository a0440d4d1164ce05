# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""booster_node's images and their camera_info, and words for what does not arrive."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from feature_booster_ros.camera import is_rectified_topic

from .booster_node_parameters import BoosterNodeParameters
from .camera_info import CameraInfoError, describe_image, uncalibrated
from .diagnostics import FrameMonitor
from .images import transport_topic
from .lifecycle import ManagedNode, Resources
from .qos import why_incompatible
from .synchronization import ImageWithCameraInfo

_CHECK_PERIOD = 5.0  # Time after which missing images or camera_infos are reported [s].


class ImageInput:
    """The topics of images and camera_info, and what is known of the images' camera.

    Args:
        node: That subscribes.
        parameters: Of the node, as it is configured.
        camera: Name that the topics begin with; empty for image and camera_info themselves.
    """

    def __init__(
        self, node: ManagedNode, parameters: BoosterNodeParameters, camera: str = ""
    ) -> None:
        self._image = posixpath.join(camera, "image")  # before it is remapped
        self._camera_info = posixpath.join(camera, "camera_info")
        compressed = parameters.image_transport == "compressed"
        self.topic = transport_topic(
            node.resolve_topic_name(self._image), parameters.image_transport
        )
        self._camera_info_topic = node.resolve_topic_name(self._camera_info)
        self._image_type: type = CompressedImage if compressed else Image
        self._node = node
        self._parameters = parameters
        self._pairs: ImageWithCameraInfo | None = None
        self._images_checked = 0
        self._is_uncalibrated = self._has_warned = False

    def activate(
        self,
        resources: Resources,
        receive: Callable[[Image | CompressedImage, CameraInfo | None], None],
        frames: FrameMonitor,
    ) -> str:
        """Subscribe, and check the input from time to time.

        Args:
            resources: Of the activation.
            receive: Takes each image and its CameraInfo, or None without one.
            frames: Counts them.

        Returns:
            The topics that are waited for, in words.
        """
        self._pairs, self._images_checked = None, 0
        self._is_uncalibrated = self._has_warned = False
        self._frames = frames
        parameters, qos = self._parameters, self._parameters.input_profile()
        resources.timer(_CHECK_PERIOD, self._report_missing_input)
        if not parameters.use_camera_info:

            def receive_alone(image: Image | CompressedImage) -> None:
                frames.count("received")
                receive(image, None)

            resources.subscription(self._image_type, self.topic, receive_alone, qos)
            return self.topic
        if is_rectified_topic(self.topic) and not parameters.rectified:
            self._frames.log.warning(
                f"{self.topic} is named as rectified images are, but K and D of camera_info are "
                "taken: set the parameter rectified, so that P is"
            )
        self._pairs = ImageWithCameraInfo(
            self._node,
            self._image_type,
            self.topic,
            self._camera_info_topic,
            receive,
            frames.count,
            qos,
        )
        resources.callback(self._pairs.destroy)
        return f"{self.topic} and {self._camera_info_topic}"

    def values(self) -> dict[str, str]:
        """Return how camera_info arrives, for /diagnostics."""
        if self._pairs is None or not self._pairs.choice:
            return {}
        return {
            "camera_info": self._pairs.choice,
            "camera_infos": str(self._pairs.camera_infos),
        }

    def problem(self) -> str:
        """Return why images have no intrinsics and what to do; empty if they have them."""
        if self._pairs is not None:
            reason = "images wait for camera_info" if self._pairs.is_waiting else ""
            reason = "no intrinsics" if self._pairs.choice == "none" else reason
            if reason:
                return f"{reason}: {self._missing_camera_info(self._pairs)}"
        return f"no intrinsics: {self._uncalibrated_camera()}" if self._is_uncalibrated else ""

    def describe(
        self, camera_info: CameraInfo | None, shape: tuple[int, int], rectified: bool
    ) -> CameraInfo:
        """Return the CameraInfo to publish with the features of an image; from any thread.

        Features need no intrinsics, so where the CameraInfo makes no sense, that is reported and
        the result has none.

        Args:
            camera_info: Of the image.
            shape: (height, width) of the image.
            rectified: Whether the image is rectified.
        """
        height, width = shape
        if camera_info is None:
            return uncalibrated(None, width, height)
        try:
            described = describe_image(camera_info, width, height, rectified)
        except CameraInfoError as error:
            self._frames.report(error, "going on without intrinsics")
            return uncalibrated(camera_info, width, height)
        self._is_uncalibrated = described.k[0] == 0
        if self._is_uncalibrated and not self._has_warned:
            self._has_warned = True
            self._frames.log.warning(f"{self._uncalibrated_camera()}: going on without intrinsics")
        return described

    def _report_missing_input(self) -> None:
        """Log what has not arrived since the last check, and what to do."""
        log = self._frames.log
        images = self._frames.total("received") - self._images_checked
        self._images_checked += images
        if not images and self._images_checked:
            log.info(
                f"images on {self.topic} have paused: none in {_CHECK_PERIOD:g} s",
                throttle_duration_sec=60.0,
            )
        elif not images:
            log.info(
                self._incompatible(self.topic)
                or f"no images on {self.topic}: is the camera running, and the topic remapped (-r "
                f"{self._image}:=/camera/image_raw)?",
                throttle_duration_sec=60.0,
            )
        elif self._pairs is not None:
            if images < self._images_checked:  # there were some at the last check, too
                self._pairs.stop_waiting()
            if self._pairs.choice in ("", "none"):
                log.warning(
                    f"{self._missing_camera_info(self._pairs)}. Until it comes, features have no "
                    "intrinsics",
                    throttle_duration_sec=30.0,
                )

    def _missing_camera_info(self, pairs: ImageWithCameraInfo) -> str:
        """Return why images have no camera_info, and what to do."""
        topic, frames = self._camera_info_topic, ", ".join(map(repr, pairs.frames))
        if frames:
            reason = f"{topic} is of frame {frames}, the images are of another"
        elif reason := self._incompatible(topic):
            return reason
        else:
            reason = f"images come on {self.topic}, but nothing on {topic}"
        return (
            f"{reason}: remap it (-r {self._camera_info}:=/camera/camera_info), or work without "
            "intrinsics (-p use_camera_info:=false)"
        )

    def _incompatible(self, topic: str) -> str:
        return why_incompatible(self._node, topic, self._parameters.qos_input_reliability)

    def _uncalibrated_camera(self) -> str:
        return (
            f"{self._camera_info_topic} is of an uncalibrated camera (k is zero): calibrate it, or "
            "work without intrinsics (-p use_camera_info:=false)"
        )
