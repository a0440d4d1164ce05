# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the nodes at both ends of a topic know each other.

Discovery works for each direction apart: a publisher may know a subscription for seconds before the
subscribing process knows the publisher, or the reverse. What is published meanwhile is lost, also
on a reliable topic. A service that answers shows that both know each other. A process announces its
publishers and its subscriptions in the order in which they were made, each kind apart, and a call
needs one of either kind at the client: who has answered it knows all that was made before.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.publisher import Publisher
from rclpy.task import Future
from std_srvs.srv import Trigger

_UNDISCOVERED = "_NODE_NAME_UNKNOWN_"  # Name of a node of which only a topic is known yet.
_WITHOUT_NAME = "a node without a name yet"
_REPEAT_PERIOD = 0.2  # Shortest time between two calls of a service [s].


class RepeatedCall:
    """Call a service repeatedly, as a call is lost while the service does not know its client.

    Args:
        node: Which calls; another thread must spin it, or the caller between two polls.
        service_type: Its request is sent as it is by default.
        name: Of the service.
    """

    def __init__(self, node: Node, service_type: Any, name: str) -> None:
        self._node = node
        self._request = service_type.Request()
        self._client: Client = node.create_client(service_type, name)
        self._futures: list[Future] = []
        self._called = -_REPEAT_PERIOD

    def poll(self) -> Any:
        """Return an answer that has come since the last poll, or None; and call when it is time."""
        answered = next((future for future in self._futures if future.done()), None)
        if answered is not None:
            self._futures.clear()
            return answered.result()
        now = time.monotonic()
        if now - self._called >= _REPEAT_PERIOD and self._client.service_is_ready():
            self._called = now
            self._futures.append(self._client.call_async(self._request))
        return None

    def close(self) -> None:
        """Destroy the client."""
        self._node.destroy_client(self._client)


class Handshakes:
    """Find out which other nodes know the publishers and subscriptions of a node.

    Args:
        node: Whose publishers and subscriptions in question have all been made.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._calls: dict[tuple[str, bytes], RepeatedCall] = {}
        self._known: set[tuple[str, bytes]] = set()
        self._queries: dict[str, RepeatedCall] = {}
        self._reports: dict[str, str] = {}

    def missing(self, endpoints: Iterable[Any]) -> list[str]:
        """Return the names of the nodes that are not known to know this one yet; ask them again.

        Nodes without parameter services, as those of the ``ros2`` command, cannot be asked, and are
        left out.

        Args:
            endpoints: The other ends of the topics (rclpy's ``TopicEndpointInfo``).
        """
        missing = set()
        for endpoint in endpoints:
            if endpoint.node_name.startswith(_UNDISCOVERED):
                missing.add(_WITHOUT_NAME)
                continue
            name = f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"
            # With the endpoint: a node that was started again has to answer again.
            key = name, bytes(endpoint.endpoint_gid)
            if key not in self._known and not self._ask(key):
                missing.add(name)
        return sorted(missing)

    def missing_listeners(self, publishers: Iterable[Publisher]) -> list[str]:
        """Return what :meth:`missing` does for the subscriptions to publishers of the node.

        A subscription that a publisher is matched with already, but that the graph does not show
        yet, is missing too.
        """
        publishers = list(publishers)
        seen = [
            self._node.get_subscriptions_info_by_topic(publisher.topic_name)
            for publisher in publishers
        ]
        missing = set(self.missing(itertools.chain.from_iterable(seen)))
        if any(
            len(found) < publisher.get_subscription_count()
            for publisher, found in zip(publishers, seen, strict=True)
        ):
            missing.add(_WITHOUT_NAME)
        return sorted(missing)

    def unconnected(self, name: str) -> str:
        """Return what a node lacks by its service ``~/is_connected``; ask it again.

        Args:
            name: Full name of the node.

        Returns:
            Empty if it lacks nothing, or offers no such service.
        """
        service = f"{name}/is_connected"
        report = self._reports.get(service, f"an answer of {name}")
        if not report or not _offers(self._node, name, service):
            return ""
        if service not in self._queries:
            self._queries[service] = RepeatedCall(self._node, Trigger, service)
        answer = self._queries[service].poll()
        if answer is not None:
            report = "" if answer.success else f"what {name} lacks: {answer.message}"
            self._reports[service] = report
        return report

    def close(self) -> None:
        """Destroy all clients."""
        for call in (*self._calls.values(), *self._queries.values()):
            call.close()
        self._calls.clear()
        self._queries.clear()

    def _ask(self, key: tuple[str, bytes]) -> bool:
        if key not in self._calls:
            name, _ = key
            service = f"{name}/get_parameters"
            if not _offers(self._node, name, service):
                return True
            self._calls[key] = RepeatedCall(self._node, GetParameters, service)
        if self._calls[key].poll() is None:
            return False
        self._known.add(key)
        self._calls.pop(key).close()
        return True


def split_name(name: str) -> tuple[str, str]:
    """Return the name of a node and its namespace, of its full name."""
    namespace, _, base = name.rpartition("/")
    return base, namespace or "/"


def _offers(node: Node, name: str, service: str) -> bool:
    """Return whether the node of a full name is known to offer a service."""
    try:
        services = node.get_service_names_and_types_by_node(*split_name(name))
    except NodeNameNonExistentError:
        return False
    return any(offered == service for offered, _ in services)
