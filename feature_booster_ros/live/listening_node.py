# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node in a program that starts other nodes and listens to them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from .node_process import NodeError, NodeGroup, NodeProcess

# Time for nodes to come up [s]: importing torch takes long on a cold disk.
_START_PATIENCE = 120.0

_STATES = {
    State.PRIMARY_STATE_UNCONFIGURED: "unconfigured",
    State.PRIMARY_STATE_INACTIVE: "inactive",
    State.PRIMARY_STATE_ACTIVE: "active",
    State.PRIMARY_STATE_FINALIZED: "finalized",
}


class ListeningNode(Node):
    """Take messages only while it listens or waits for an answer, in the caller's thread.

    Args:
        name: Name of the node.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def listen(self, seconds: float) -> None:
        """Take the messages that come within `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def lifecycle_state(self, node: str, timeout: float) -> str | None:
        """Ask a lifecycle node for its state, such as "active"; None without an answer in time.

        A node that starts itself answers only after it has started or failed.
        """
        client: Client = self.create_client(GetState, f"{node}/get_state")
        try:
            deadline = time.monotonic() + timeout
            while not client.service_is_ready():
                if time.monotonic() > deadline:
                    return None
                self.listen(0.05)
            future = client.call_async(GetState.Request())
            self._executor.spin_until_future_complete(future, max(0.0, deadline - time.monotonic()))
            response = future.result() if future.done() else None
            return None if response is None else _STATES.get(response.current_state.id)
        finally:
            self.destroy_client(client)

    def wait_until_active(
        self, node: NodeProcess, group: NodeGroup, patience: float = _START_PATIENCE
    ) -> None:
        """Listen until a node is active.

        Args:
            node: Node to wait for.
            group: Nodes none of which may end with an error meanwhile.
            patience: Longest time to wait [s].

        Raises:
            NodeError: A node ended with an error, or did not start in time.
        """
        deadline = time.monotonic() + patience
        while self.lifecycle_state(node.name, timeout=1.0) != "active":
            group.check()
            if time.monotonic() > deadline:
                raise node.error(f"did not start within {patience:.0f} s")

    def wait_until_ready(self, group: NodeGroup, topics: Sequence[str]) -> None:
        """Listen until all nodes of a group are active, and topics have a publisher.

        Raises:
            NodeError: A node failed or did not start in time, or a topic was not discovered.
        """
        deadline = time.monotonic() + _START_PATIENCE
        for node in group.nodes:
            self.wait_until_active(node, group, max(0.0, deadline - time.monotonic()))
        while not all(self.count_publishers(topic) for topic in topics):
            group.check()
            if time.monotonic() > deadline:
                raise NodeError(
                    "the nodes run, but their topics were not discovered (ROS_DOMAIN_ID="
                    f"{os.environ['ROS_DOMAIN_ID']}): is UDP on the loopback interface blocked?"
                )
            self.listen(0.1)

    def close(self) -> None:
        """End all subscriptions and destroy the node."""
        self._executor.shutdown()
        self.destroy_node()


def rate_request(rate: float) -> SetParameters.Request:
    """Return the request that sets the parameter `rate` of image_player_node, in Hz."""
    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float(rate))
    return SetParameters.Request(parameters=[Parameter(name="rate", value=value)])
