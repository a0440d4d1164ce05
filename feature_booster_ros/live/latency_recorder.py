# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Record when messages arrive, with little work, as it is done on the nodes' cores."""

from __future__ import annotations

import struct
import time

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from sensor_msgs.msg import CameraInfo

from feature_booster_ros.msg import FeatureArray, MatchArray

from ..nodes.qos import stream_profile
from .listening_node import ListeningNode, rate_request

_QOS = stream_profile("reliable", 100)


class LiveRecorder(ListeningNode):
    """Listen to a pipeline in a namespace.

    Only the stamp of a message is read, from its serialized bytes. Frames are known to be sent by
    their camera_info, which image_player_node publishes with each image.

    Args:
        namespace: Namespace of the pipeline, such as "live".
    """

    def __init__(self, namespace: str) -> None:
        super().__init__("live_benchmark")
        self._namespace = namespace
        self.sent: dict[int, int] = {}
        """Time of arrival of each frame's camera_info by its stamp, both system time in ns."""
        self.arrivals: dict[str, dict[int, int]] = {"features": {}, "matches": {}, "odometry": {}}
        """The same of each topic that the nodes publish."""
        self.diagnostics: dict[str, dict[str, str]] = {}
        """The newest values of each node by its name."""
        for message_type, topic, arrivals in (
            (CameraInfo, "camera_info", self.sent),
            (FeatureArray, "features", self.arrivals["features"]),
            (MatchArray, "matches", self.arrivals["matches"]),
            (Odometry, "odometry", self.arrivals["odometry"]),
        ):
            self.create_subscription(
                message_type,
                f"/{namespace}/{topic}",
                lambda message, arrivals=arrivals: _note(message, arrivals),
                _QOS,
                raw=True,
            )
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)

    def set_rate(self, player: str, rate: float, timeout: float) -> bool:
        """Set the rate of the player in Hz; return whether it was accepted in time."""
        client: Client = self.create_client(SetParameters, f"{player}/set_parameters")
        try:
            if not client.wait_for_service(timeout):
                return False
            future = client.call_async(rate_request(rate))
            self._executor.spin_until_future_complete(future, timeout)
            response = future.result() if future.done() else None
            return response is not None and response.results[0].successful
        finally:
            self.destroy_client(client)

    def forget(self) -> None:
        """Forget all arrivals."""
        for arrivals in (self.sent, *self.arrivals.values()):
            arrivals.clear()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            namespace, _, node = status.name.partition(":")[0].partition("/")
            if namespace == self._namespace:
                self.diagnostics[node] = {value.key: value.value for value in status.values}


def _note(message: bytes, arrivals: dict[int, int]) -> None:
    arrivals[serialized_stamp(message)] = time.time_ns()


def serialized_stamp(message: bytes) -> int:
    """Return the stamp in nanoseconds of a serialized message that begins with a header.

    The bytes are CDR: an encapsulation of four, whose second has the byte order in its lowest bit,
    then the stamp as int32 seconds and uint32 nanoseconds.
    """
    order = "<" if message[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", message, 4)
    return seconds * 1_000_000_000 + nanoseconds
