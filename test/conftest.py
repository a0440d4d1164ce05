# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests of real nodes: each in a process of its own, talked to over DDS.

A test takes ``start_node`` to start an executable and ``ros`` to talk to it. Both live in the
test's own namespace, so nothing of one test reaches another.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

TIMEOUT = 90.0
"""Seconds that anything may take on a slow, busy machine; a test that passes never waits that
long.
"""

# Before anything of ROS is imported: keep to this machine, and out of the way of other runs on it.
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
FASTDDS_PROFILES = (
    "FASTRTPS_DEFAULT_PROFILES_FILE"
    if os.environ.get("ROS_DISTRO") in ("humble", "jazzy")
    else "FASTDDS_DEFAULT_PROFILES_FILE"
)
"""Environment variable of Fast DDS's profiles; version 3 warns of the name that version 2 has."""
os.environ.setdefault(FASTDDS_PROFILES, str(Path(__file__).with_name("fastdds.xml")))

HAS_ROS = all(
    importlib.util.find_spec(name) is not None
    for name in ("rclpy", "feature_booster_ros", "feature_booster_ros.msg")
)
if not HAS_ROS:
    # Without ROS the library can be tested all the same.
    collect_ignore_glob = ["nodes/*", "live/*"]


def pytest_report_header() -> str | None:
    """Say that the tests of nodes are left out."""
    return None if HAS_ROS else "test/nodes, test/live: need `make build` and `source env.sh`"


SLOW = (
    "benchmark/",
    "booster/test_onnx_export.py",
    "evaluation/",
    "integrations/test_view.py",
    "live/",
    "odometry/test_endurance.py",
    "odometry/test_visual_odometry.py",
    "training/",
)
"""Folders and files whose tests take seconds each, by `pytest --durations=0`; each test that starts
a node or builds the wheel does too.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make test-fast` leaves out."""
    root = Path(__file__).parent
    for item in items:
        takes_seconds = {"start_node", "wheel"}.intersection(getattr(item, "fixturenames", ()))
        if takes_seconds or item.path.relative_to(root).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `cuda` on a machine without a GPU."""
    if item.get_closest_marker("cuda"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU that PyTorch can use")


def wait_for(condition: Callable[[], Any], what: str, timeout: float = TIMEOUT) -> Any:
    """What ``condition`` returns as soon as that is true; fails with ``what`` if it does not become
    true.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen within {timeout:.0f} s")
        time.sleep(0.02)


def newest_values(diagnostics: list, node: str) -> dict[str, str]:
    """Values of the last status of a node's frames among messages of /diagnostics; empty without
    one.
    """
    name = f"{node.lstrip('/')}: frames"
    for message in reversed(diagnostics):
        for status in message.status:
            if status.name == name:
                return {pair.key: pair.value for pair in status.values}
    return {}


class NodeProcess:
    """An executable of the package that runs.

    Attributes:
        name: of the executable.
        full_name: of the node, with its namespace.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        parameters: Mapping[str, Any],
        remappings: Mapping[str, str],
        arguments: tuple[str, ...],
        log: Path,
    ) -> None:
        self.name = name
        self.full_name = f"{namespace}/{name}"
        command = [str(executable(name)), "--ros-args", "-r", f"__ns:={namespace}"]
        for key, value in parameters.items():
            command += ["-p", f"{key}:={_yaml(value)}"]
        for key, value in remappings.items():
            command += ["-r", f"{key}:={value}"]
        command += arguments
        self._log = log
        with log.open("w") as stream:
            self._process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def output(self) -> str:
        """All that it has written so far."""
        return self._log.read_text(errors="replace")

    def wait_for_output(self, text: str) -> str:
        """All that it has written, as soon as ``text`` is in it."""

        def found() -> str:
            output = self.output()
            if text not in output and self._process.poll() is not None:
                pytest.fail(
                    f"{self.name} ended with {self._process.returncode} before it wrote "
                    f"{text!r}:\n{output}"
                )
            return output if text in output else ""

        try:
            return wait_for(found, f"{self.name} writing {text!r}")
        except pytest.fail.Exception as failure:
            raise pytest.fail.Exception(f"{failure}; it wrote:\n{self.output()}") from None

    def wait(self) -> int:
        """Its exit status, once it has ended by itself."""
        return self._process.wait(TIMEOUT)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Its exit status after a signal; killed if it does not end."""
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return self._process.returncode

    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None


def executable(name: str) -> Path:
    """The installed executable of that name."""
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        path = (
            Path(get_package_prefix("feature_booster_ros")) / "lib" / "feature_booster_ros" / name
        )
    except (PackageNotFoundError, OSError):  # OSError: no environment is sourced
        pytest.fail("feature_booster_ros is not built: run `make build` and `. env.sh`")
    if not path.exists():
        pytest.fail(f"{path} does not exist: run `make build`")
    return path


class Peer:
    """A node within the test's process that publishes, listens and calls services, all in one
    namespace.
    """

    def __init__(self, namespace: str) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.namespace = namespace
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("test_peer", namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._publishers: dict[str, Any] = {}
        self._known: set[str] = set()
        self._clients: dict[str, Any] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def publisher(self, message_type: type, topic: str, reliability: str = "reliable") -> Any:
        """A publisher, made once per topic."""
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(
                message_type, topic, _profile(reliability)
            )
        return self._publishers[topic]

    def publish(self, topic: str, message: Any) -> None:
        """Publishes once a subscription and the publisher know each other."""
        # A new publisher is matched at once with a subscription that was there before, whose node
        # does not know it yet.
        publisher = self.publisher(type(message), topic)
        if topic not in self._known or not publisher.get_subscription_count():
            self._known.add(topic)
            wait_for(publisher.get_subscription_count, f"a subscription to {publisher.topic_name}")
            self._wait_until_known(publisher)
        publisher.publish(message)

    def _wait_until_known(self, publisher: Any) -> None:
        """Waits until the nodes that subscribe to it answer, as whoever answers knows it.

        Nodes that do not answer within seconds, being at work, are published to all the same.
        """
        from feature_booster_ros.nodes.handshake import Handshakes

        deadline = time.monotonic() + 5.0
        with closing(Handshakes(self.node)) as handshakes:
            while time.monotonic() < deadline:
                if not handshakes.missing_listeners([publisher]):
                    return
                time.sleep(0.02)

    def listen(self, message_type: type, topic: str, reliability: str = "reliable") -> list:
        """A list to which the messages of a topic are appended as they come."""
        messages: list = []
        self.node.create_subscription(message_type, topic, messages.append, _profile(reliability))
        return messages

    def call(self, service_type: type, name: str, request: Any, repeat: float = TIMEOUT) -> Any:
        """The response of a service.

        A service may know a client's request before it knows where to answer; the response is then
        lost (rmw_fastrtps warns of it). On a busy machine that happens with a new client.

        Args:
            repeat: seconds after which a request that may come twice is sent again.
        """
        if name not in self._clients:
            self._clients[name] = self.node.create_client(service_type, name)
        client = self._clients[name]
        if not client.service_is_ready():
            wait_for(client.service_is_ready, f"service {name}")
            time.sleep(0.2)
        futures = [client.call_async(request)]
        again = time.monotonic() + repeat

        def answered() -> Any:
            nonlocal again
            if time.monotonic() > again:
                futures.append(client.call_async(request))
                again += repeat
            return next((future for future in futures if future.done()), None)

        return wait_for(answered, f"a response of {name}").result()

    def connection(self, node: str) -> Any:
        """Whether the publishers that a node listens to know it, and this peer (``success``), or
        which do not (``message``).
        """
        from std_srvs.srv import Trigger

        return self.call(Trigger, f"{node}/is_connected", Trigger.Request(), repeat=5.0)

    def set_parameters(self, node: str, **values: Any) -> list:
        """Results, one per value, of setting parameters of a node one by one."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        request = SetParameters.Request()
        request.parameters = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        return self.call(SetParameters, f"{node}/set_parameters", request, repeat=10.0).results

    def transition(self, node: str, label: str) -> bool:
        """Whether a lifecycle transition of a node succeeded."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        request = ChangeState.Request(transition=Transition(label=label))
        return self.call(ChangeState, f"{node}/change_state", request).success

    def state(self, node: str) -> str:
        """The lifecycle state of a node."""
        from lifecycle_msgs.srv import GetState

        request = GetState.Request()
        return self.call(GetState, f"{node}/get_state", request, repeat=10.0).current_state.label

    def destroy(self) -> None:
        """Leaves the graph."""
        import rclpy

        self._stopping = True
        self._executor.wake()
        self._thread.join(TIMEOUT)
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _spin(self) -> None:
        while not self._stopping:
            self._executor.spin_once(timeout_sec=0.1)


@pytest.fixture
def namespace() -> str:
    """A ROS namespace for one test alone."""
    return f"/test_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def ros(namespace: str) -> Iterator[Peer]:
    """A node to talk to the tested ones with."""
    peer = Peer(namespace)
    yield peer
    peer.destroy()


@pytest.fixture
def start_node(namespace: str, tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Starts executables: ``start_node(name, *arguments, parameters={}, remappings={})``; ended
    with the test.

    What they wrote is shown with a test that fails.
    """
    processes: list[NodeProcess] = []

    def start(
        name: str,
        *arguments: str,
        parameters: Mapping[str, Any] | None = None,
        remappings: Mapping[str, str] | None = None,
    ) -> NodeProcess:
        process = NodeProcess(
            name,
            namespace,
            parameters or {},
            remappings or {},
            arguments,
            tmp_path / f"{name}_{len(processes)}.log",
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.stop()
    for process in processes:
        print(f"--- {process.name} (exit status {process.stop()}) wrote:\n{process.output()}")


def _profile(reliability: str) -> Any:
    from feature_booster_ros.nodes.qos import stream_profile

    return stream_profile(reliability, 50)


def _yaml(value: Any) -> str:
    """A parameter value as ROS reads it from the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'"
    return str(value)
