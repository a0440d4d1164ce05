# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The process around a node: command line, threads, signals, and the loop that runs callbacks."""

from __future__ import annotations

import ctypes
import inspect
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import rclpy
import rclpy.logging
from rclpy.exceptions import NameValidationException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from .lifecycle import ManagedNode
from .parameters import ParameterError, plain_table

_LARGEST_SIGACTION = 512  # bytes; glibc's struct has 152
_LONGEST_WAIT = 0.5  # Longest time that a missed signal goes unnoticed [s].


def run(node_type: type[ManagedNode], args: Sequence[str] | None = None) -> int:
    """Run a node until Ctrl-C, SIGTERM or the shutdown of its context.

    Args:
        node_type: Class of the node, made without arguments once rclpy is initialized.
        args: Command line without the program's name, sys.argv by default.

    Returns:
        Exit status: 0, or 1 when the command line or a parameter is not valid, when the node was to
        start itself (``autostart``) and could not, or when it says that it has ``failed``.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    if {"-h", "--help"} & set(arguments):
        print(usage(node_type))
        return 0
    node = None
    try:
        try:
            initialize(arguments)
        except ValueError as error:
            print(f"cannot start: {error}", file=sys.stderr)
            return 1
        try:
            node = node_type()
        except (ParameterError, NameValidationException, RuntimeError) as error:
            rclpy.logging.get_logger("feature_booster_ros").fatal(f"cannot start: {error}")
            return 1
        _warn_of_arguments(node, arguments)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if not node.start():
            return 1
        _spin(executor, node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        # Not to be cut short by a second Ctrl-C, or the SIGINT that ros2 launch adds to it.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            node.release()
            node.destroy_node()
        if rclpy.ok():
            rclpy.shutdown()
    return int(node is not None and node.failed)


def initialize(
    arguments: Sequence[str] = (), signal_handlers: SignalHandlerOptions | None = None
) -> None:
    """Initialize rclpy.

    Args:
        arguments: Command line without the program's name.
        signal_handlers: Which handlers rclpy installs; None for its default.

    Raises:
        ValueError: rclpy cannot be initialized; the message names the remedy.
    """
    try:
        rclpy.init(args=list(arguments), signal_handler_options=signal_handlers)
    except (ValueError, RuntimeError) as error:
        if "logging" in str(error):
            remedy = "set HOME or ROS_LOG_DIR to a folder that can be written"
            raise ValueError(f"{remedy} ({error})") from error
        raise ValueError(f"rcl cannot parse these ROS arguments: {error}") from error


def usage(node_type: type[ManagedNode]) -> str:
    """Return what ``--help`` prints: the module's docstring, an example, and the parameters."""
    name, module = node_type.node_name, inspect.getmodule(node_type)
    description = inspect.cleandoc((module.__doc__ if module else None) or "").replace("``", "")
    return "\n".join(
        [
            f"usage: {name} [--ros-args [-p PARAMETER:=VALUE] [-r FROM:=TO] [--params-file FILE]]",
            "",
            description,
            "",
            "Example:",
            f"  {name} --ros-args {node_type.example}",
            "",
            "Parameters (type, default, allowed values if not all):",
            plain_table(node_type.parameter_type),
        ]
    )


def sleep_at_barriers() -> None:
    """Have the threads of PyTorch sleep while they wait for one another, rather than spin.

    A spinning thread holds the core that the one it waits for needs. With another process busy on
    one of two cores, one image in twenty then takes the network ten times as long as the others.
    Sleeping costs a tenth on an otherwise idle machine. Call this before PyTorch is loaded; the
    user's own setting stays.
    """
    if "GOMP_SPINCOUNT" not in os.environ:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def limit_threads(count: int) -> None:
    """Have OpenCV and PyTorch compute in ``count`` threads; 0 leaves both as they are."""
    if count == 0:
        return
    cv2.setNumThreads(count)
    # For a PyTorch that is loaded later, and for one that is loaded already.
    os.environ["OMP_NUM_THREADS"] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


@contextmanager
def keep_handler(number: int) -> Iterator[None]:
    """Restore, at the end, whatever handled the signal ``number`` before.

    Some libraries take over signals when they are loaded. rclpy's handlers are C++'s, which
    Python's signal module does not know, hence sigaction.
    """
    action = ctypes.create_string_buffer(_LARGEST_SIGACTION)
    libc = ctypes.CDLL(None)
    libc.sigaction(int(number), None, action)
    try:
        yield
    finally:
        libc.sigaction(int(number), action, None)


def _warn_of_arguments(node: ManagedNode, arguments: Sequence[str]) -> None:
    """Warn of arguments that ROS ignores; it takes, and warns of, FROM:=TO without --ros-args."""
    others = remove_ros_args([node.node_name, *arguments])[1:]
    if ignored := [argument for argument in others if ":=" not in argument]:
        node.get_logger().warning(
            f"no effect: {' '.join(ignored)}; parameters and remappings come after --ros-args, as "
            "in --ros-args -p NAME:=VALUE -r FROM:=TO"
        )


def _spin(executor: SingleThreadedExecutor, node: ManagedNode) -> None:
    """Run callbacks until the context shuts down; report an exception of one and go on."""
    while rclpy.ok():
        try:
            # With a limit, as a signal that comes just before the wait does not end it.
            executor.spin_once(timeout_sec=_LONGEST_WAIT)
        except (KeyboardInterrupt, ExternalShutdownException):
            raise
        except Exception as error:
            if not rclpy.ok():  # Ctrl-C has shut down the middleware in the middle of a callback
                return
            node.report_fault(error)
