# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Note when messages come, with as little work as possible: it is done on the nodes' own cores."""

from __future__ import annotations

import struct
import time

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import CameraInfo

from feature_booster_ros.msg import FeatureArray, MatchArray

from ..nodes.qos import stream_profile
from .listening_node import ListeningNode

_QOS = stream_profile("reliable", 100)


class LiveRecorder(ListeningNode):
    """Listens to a pipeline in a namespace.

    Of a message only the stamp is read, out of its serialized bytes, with which the header begins.
    Frames sent are told by their camera_info, which image_player_node publishes with each image.

    Args:
        namespace: of the pipeline, such as "live".
    """

    def __init__(self, namespace: str) -> None:
        super().__init__("live_benchmark")
        self._namespace = namespace
        self.sent: dict[int, int] = {}
        """When the camera_info of each frame came, in nanoseconds of the system's clock, by the
        frame's stamp in nanoseconds of the same.
        """
        self.features: dict[int, int] = {}
        """The same of its features."""
        self.matches: dict[int, int] = {}
        """The same of its matches."""
        self.diagnostics: dict[str, dict[str, str]] = {}
        """The newest values of each node, by its name."""
        for message_type, topic, arrivals in (
            (CameraInfo, "camera_info", self.sent),
            (FeatureArray, "features", self.features),
            (MatchArray, "matches", self.matches),
        ):
            self.create_subscription(
                message_type,
                f"/{namespace}/{topic}",
                lambda message, arrivals=arrivals: _note(message, arrivals),
                _QOS,
                raw=True,
            )
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)

    def is_connected(self, topics: tuple[str, ...]) -> bool:
        """Tell whether each topic has its publisher."""
        return all(self.count_publishers(f"/{self._namespace}/{topic}") for topic in topics)

    def set_rate(self, player: str, rate: float, timeout: float) -> bool:
        """Have the player play at a rate in Hz; whether it has agreed in time."""
        client = self.create_client(SetParameters, f"{player}/set_parameters")
        try:
            if not client.wait_for_service(timeout):
                return False
            value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=rate)
            request = SetParameters.Request(parameters=[Parameter(name="rate", value=value)])
            future = client.call_async(request)
            self._executor.spin_until_future_complete(future, timeout)
            return future.done() and future.result().results[0].successful
        finally:
            self.destroy_client(client)

    def forget(self) -> None:
        """Begin anew."""
        for arrivals in (self.sent, self.features, self.matches):
            arrivals.clear()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            namespace, _, node = status.name.partition(":")[0].partition("/")
            if namespace == self._namespace:
                self.diagnostics[node] = {value.key: value.value for value in status.values}


def _note(message: bytes, arrivals: dict[int, int]) -> None:
    arrivals[stamp_of(message)] = time.time_ns()


def stamp_of(message: bytes) -> int:
    """The stamp in nanoseconds of a serialized message that begins with a header.

    The bytes are CDR: an encapsulation of four, whose second has the byte order in its lowest bit,
    then the stamp as int32 seconds and uint32 nanoseconds.
    """
    order = "<" if message[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", message, 4)
    return seconds * 1_000_000_000 + nanoseconds
