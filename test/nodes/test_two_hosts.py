# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes on two hosts: two network namespaces, and a cable between them that may lose packets."""

from __future__ import annotations

import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import FASTDDS_PROFILES, TIMEOUT, executable

PROFILE = Path(__file__).parents[2] / "config" / "fastdds_lossy.xml"

LISTENER = """
import sys, time
import rclpy
from feature_booster_ros import msg
from feature_booster_ros.nodes.qos import stream_profile

kind, topic, reliability, seconds, fewest = sys.argv[1:6]
rclpy.init()
node = rclpy.create_node("listener")
messages = []
node.create_subscription(
    getattr(msg, kind), topic, messages.append, stream_profile(reliability, 5)
)
end = time.monotonic() + float(seconds)
while time.monotonic() < end and len(messages) < int(fewest):
    rclpy.spin_once(node, timeout_sec=0.1)
for message in messages:
    print(message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec)
"""
"""Prints the stamps of the messages that it receives, one a line."""


class Cable:
    """Passes packets between two TAP devices, and loses some.

    Args:
        loss: Share of the packets to lose, each by itself.
    """

    def __init__(self, loss: float) -> None:
        self.bytes = [0, 0]
        """Bytes that have come out at either end."""
        self.names = [f"tap{uuid.uuid4().hex[:8]}" for _ in range(2)]
        self._random = random.Random(5)
        self._loss = loss
        self._ends = [self._open(name) for name in self.names]
        self._stopped = False
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Remove the devices."""
        self._stopped = True
        self._thread.join(TIMEOUT)
        for end in self._ends:
            os.close(end)

    @staticmethod
    def _open(name: str) -> int:
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        tunsetiff, iff_tap, iff_no_pi = 0x400454CA, 0x0002, 0x1000
        try:
            fcntl.ioctl(end, tunsetiff, struct.pack("16sH", name.encode(), iff_tap | iff_no_pi))
        except OSError:
            os.close(end)
            raise
        return end

    def _relay(self) -> None:
        while not self._stopped:
            for source in select.select(self._ends, [], [], 0.1)[0]:
                to = 1 - self._ends.index(source)
                try:
                    packet = os.read(source, 65536)
                    if self._random.random() >= self._loss:
                        os.write(self._ends[to], packet)
                        self.bytes[to] += len(packet)
                except OSError:  # an end that is not up yet, or no longer
                    pass


class Host:
    """A network namespace, in which programs are started."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self._log = log
        self._processes: list[subprocess.Popen] = []

    def start(self, *command: str) -> subprocess.Popen:
        """Start a program; what it prints can be read from its ``stdout``."""
        with (self._log / f"{self.name}_{len(self._processes)}.log").open("w") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                env={**os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._processes.append(process)
        return process

    def node(self, name: str, **parameters: object) -> subprocess.Popen:
        """Start a node of the package."""
        arguments = [
            word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")
        ]
        return self.start(str(executable(name)), "--ros-args", *arguments)

    def listen(
        self,
        kind: str,
        topic: str,
        reliability: str = "reliable",
        fewest: int = 10**9,
        seconds: float = TIMEOUT,
    ) -> list[float]:
        """Return the stamps of messages that arrive, after so many or so many seconds."""
        listener = self.start(
            sys.executable, "-c", LISTENER, kind, topic, reliability, str(seconds), str(fewest)
        )
        return [float(line) for line in listener.communicate(timeout=2 * TIMEOUT)[0].split()]

    def close(self) -> None:
        """End all programs."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.communicate(timeout=TIMEOUT)


@contextmanager
def two_hosts(loss: float, log: Path) -> Iterator[tuple[Host, Host, Cable]]:
    """Join two network namespaces by a cable.

    Raises:
        OSError, subprocess.CalledProcessError: The system allows no namespaces or no TAP devices.
    """
    with ExitStack() as stack:
        cable = Cable(loss)
        stack.callback(cable.close)
        hosts = []
        for number, device in enumerate(cable.names, start=1):
            host = Host(f"host{uuid.uuid4().hex[:8]}", log)
            _ip("netns", "add", host.name)
            stack.callback(_ip, "netns", "del", host.name)
            stack.callback(host.close)
            _ip("link", "set", device, "netns", host.name)
            for arguments in (
                ("addr", "add", f"10.99.0.{number}/24", "dev", device),
                ("link", "set", device, "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", host.name, *arguments)
            hosts.append(host)
        yield hosts[0], hosts[1], cable


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_booster_and_matcher_on_two_hosts(loss, tmp_path, monkeypatch):
    monkeypatch.setenv(FASTDDS_PROFILES, str(PROFILE))
    with ExitStack() as stack:
        try:
            robot, desk, cable = stack.enter_context(two_hosts(loss, tmp_path))
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"needs root, ip (iproute2) and /dev/net/tun: {error}")
        desk.node("matcher_node")
        robot.node("booster_node", model="none", max_features=300, qos_input_reliability="reliable")
        robot.node("image_player_node", source="rendered", loop=True, rate=4.0)
        stamps = desk.listen("MatchArray", "matches", fewest=10)
        assert len(stamps) == 10, "\n".join(log.read_text() for log in tmp_path.glob("*.log"))
        assert stamps == sorted(set(stamps))
        # 300 descriptors of SIFT each: they have taken the cable, not the host's shared memory.
        assert cable.bytes[1] > 10 * 300 * 128
