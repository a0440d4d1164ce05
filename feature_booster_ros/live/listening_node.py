# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node within a program that starts other nodes and listens to them."""

from __future__ import annotations

import time

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from .node_process import NodeGroup, NodeProcess


class ListeningNode(Node):
    """Takes messages only while it listens or waits for an answer, in the caller's thread.

    Args:
        name: of the node.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def listen(self, seconds: float) -> None:
        """Take what comes within `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def lifecycle_state(self, node: str, timeout: float) -> str | None:
        """Ask a lifecycle node for its state, such as "active"; None without an answer in time.

        A node that starts itself answers only once that is over, well or not.
        """
        client = self.create_client(GetState, f"{node}/get_state")
        try:
            deadline = time.monotonic() + timeout
            while not client.service_is_ready():
                if time.monotonic() > deadline:
                    return None
                self.listen(0.05)
            future = client.call_async(GetState.Request())
            self._executor.spin_until_future_complete(future, max(0.0, deadline - time.monotonic()))
            return _STATES.get(future.result().current_state.id) if future.done() else None
        finally:
            self.destroy_client(client)

    def wait_until_active(self, node: NodeProcess, group: NodeGroup, patience: float) -> None:
        """Listen until a node has started itself.

        Args:
            node: to wait for.
            group: of the nodes none of which may end meanwhile.
            patience: seconds at most.

        Raises:
            NodeError: it or another of the group ended badly, or it did not start in time.
        """
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            group.check()
            if self.lifecycle_state(node.name, timeout=1.0) == "active":
                return
        raise node.error(f"did not start within {patience:.0f} s")

    def close(self) -> None:
        """End all subscriptions."""
        self._executor.shutdown()
        self.destroy_node()


_STATES = {
    State.PRIMARY_STATE_UNCONFIGURED: "unconfigured",
    State.PRIMARY_STATE_INACTIVE: "inactive",
    State.PRIMARY_STATE_ACTIVE: "active",
    State.PRIMARY_STATE_FINALIZED: "finalized",
}
