# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run this package's node executables as child processes, without ros2 launch.

The ROS 2 wheels of PyPI bring neither launch nor ros2 run. So the demo and the benchmarks start
nodes here, each in a separate process with its output in a file.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)

from ..nodes.fastdds import profile_environment

PACKAGE = "feature_booster_ros"

# These publish images, depth and float descriptors. The others do not need the profile, which takes
# 10 MiB of /dev/shm for each process; a container has 64 MB by default.
_PUBLISH_LARGE_MESSAGES = ("booster_node", "image_player_node")

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class NodeError(RuntimeError):
    """A node's process could not start, or ended unexpectedly; the message has its output."""


class NodeProcess:
    """A node in a child process, from construction until :meth:`stop`.

    It runs in a separate session: Ctrl-C in the terminal does not reach it, but :meth:`stop` does.
    If this process is killed, the kernel ends the child too (Linux). As with booster.launch.py, a
    node that publishes large messages reads config/fastdds.xml, unless the environment configures
    Fast DDS.

    Args:
        executable: Name of an installed executable of this package, such as "booster_node".
        folder: Folder for its parameter file and its output.
        namespace: Namespace of the node, such as "raw"; empty for the root.
        parameters: Plain Python values by name.
        remappings: New topic names by relative names.
        environment: Environment variables to set in addition.

    Raises:
        NodeError: The executable is not installed.
    """

    def __init__(
        self,
        executable: str,
        folder: Path,
        namespace: str = "",
        parameters: Mapping[str, Any] | None = None,
        remappings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = f"/{namespace}/{executable}" if namespace else f"/{executable}"
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{namespace}_{executable}" if namespace else executable
        self.log = folder / f"{stem}.log"
        # A file and not -p NAME:=VALUE, whose values YAML may take for a number or for null.
        parameter_file = folder / f"{stem}.yaml"
        parameter_file.write_text(
            yaml.safe_dump({"/**": {"ros__parameters": dict(parameters or {})}}), encoding="utf-8"
        )
        command = [sys.executable, str(find_executable(executable)), "--ros-args"]
        command += ["--params-file", str(parameter_file)]
        if namespace:
            command += ["-r", f"__ns:=/{namespace}"]
        for old, new in (remappings or {}).items():
            command += ["-r", f"{old}:={new}"]
        profile: dict[str, str] = {}
        if executable in _PUBLISH_LARGE_MESSAGES:
            share = Path(get_package_share_directory(PACKAGE))
            profile = profile_environment(share / "config" / "fastdds.xml")
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **profile, **(environment or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent if _libc is not None else None,
            )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status of the process; None while it runs, -N where signal N ended it."""
        return self._process.poll()

    def output(self, lines: int = 15) -> str:
        """Return the last lines that the node printed, indented."""
        text = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in text[-lines:]) or "    (nothing)"

    def check(self) -> None:
        """Raise NodeError with the node's output if it ended with an error."""
        if self.status:
            raise self.error(f"ended with {_describe_status(self.status)}")

    def error(self, what: str) -> NodeError:
        """Return an error that says what happened to this node, with its output."""
        return NodeError(
            f"{self.name} {what}. It printed:\n{self.output()}\n(all of it: {self.log})"
        )

    def stop(self, patience: float = 10.0) -> None:
        """End the process as Ctrl-C does, and by force after `patience` seconds. Safe to repeat."""
        self.request_stop()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # The whole session, with whatever the node may have started.
            self._signal(signal.SIGKILL)
            self._process.wait()

    def request_stop(self) -> None:
        """Ask the process to end, and return at once."""
        if self.status is None:
            self._signal(signal.SIGINT)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass


class NodeGroup:
    """Nodes that end together: a context manager that stops all nodes started in it."""

    def __init__(self) -> None:
        self.nodes: list[NodeProcess] = []

    def start(self, executable: str, folder: Path, **options: Any) -> NodeProcess:
        """Start a node; the arguments are those of NodeProcess."""
        with _signals_deferred():
            node = NodeProcess(executable, folder, **options)
            self.nodes.append(node)
        return node

    def check(self) -> None:
        """Raise NodeError for the first node that ended with an error."""
        for node in self.nodes:
            node.check()

    def stop(self) -> None:
        """Stop all nodes at the same time."""
        for node in self.nodes:
            node.request_stop()
        deadline = time.monotonic() + 10.0
        for node in self.nodes:
            node.stop(max(0.1, deadline - time.monotonic()))

    def __enter__(self) -> NodeGroup:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Defer SIGINT and SIGTERM, whose exceptions Python ignores in its handlers around a fork."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Handlers run in the main thread.
        return
    received: list[int] = []
    former = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        for late in received:
            signal.raise_signal(late)


def use_private_domain() -> None:
    """Choose a ROS domain for this process and its nodes, on this machine alone.

    This keeps them apart from a robot's topics. What the environment already sets is kept.
    """
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    if os.environ.get("ROS_DISTRO") == "humble":
        os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")
    else:
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


def find_executable(name: str) -> Path:
    """Find an installed executable of this package.

    Raises:
        NodeError: The package is not installed, or has no such executable.
    """
    try:
        path = Path(get_package_prefix(PACKAGE)) / "lib" / PACKAGE / name
    except (PackageNotFoundError, OSError):  # OSError: no environment is sourced
        raise NodeError(
            f"{PACKAGE} is not installed in this environment: "
            "run `make build`, then `source env.sh`"
        ) from None
    if not path.is_file():
        raise NodeError(f"{path} does not exist: build the package again with `make build`")
    return path


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _describe_status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
