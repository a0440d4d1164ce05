# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node that all nodes of the package are, and the process around it."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
import rclpy.logging
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import NameValidationException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from .parameters import ParameterError, changed, declare
from .timers import CLOCK_MISSING, is_clock_missing, steady_timer

_CLOCK_PATIENCE = 5.0
"""Seconds to wait for /clock before its absence is told."""

# What hooks raise when things are not as the parameters say: weights missing, no CUDA, a bad value.
EXPECTED_ERRORS = (ValueError, OSError, RuntimeError, ImportError)


class ManagedNode(LifecycleNode):
    """A lifecycle node that can start itself, with parameters in a typed dataclass.

    A subclass sets ``parameter_type`` and overrides the hooks :meth:`configure`, :meth:`activate`,
    :meth:`deactivate`, :meth:`cleanup` and :meth:`apply_parameters`. A hook says that it cannot by
    raising one of ``EXPECTED_ERRORS`` with a message that names the cause and the remedy: it is
    logged as one line, what was begun is released, and the transition fails. The node then goes on
    in its former state, so that a corrected parameter and another ``configure`` succeed.

    Raises:
        ParameterError: a parameter has been given a value that is not allowed.
    """

    parameter_type: type

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._configured = False
        self._active = False
        self.faults = 0
        """Exceptions that escaped from callbacks since the node was made."""
        self.parameters = declare(self, self.parameter_type)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._clock_timer = steady_timer(self, _CLOCK_PATIENCE, self._check_clock)

    # Hooks

    def configure(self) -> None:
        """Makes what the node works with: publishers, network."""

    def activate(self) -> None:
        """Begins to work: subscriptions, timers, threads; the lifecycle publishers are enabled."""

    def deactivate(self) -> None:
        """Undoes :meth:`activate`, also after it failed half-way, also twice."""

    def cleanup(self) -> None:
        """Undoes :meth:`configure`, also after it failed half-way, also twice."""

    def apply_parameters(self, new: Any) -> None:
        """Makes ``new`` take effect in a configured node, or refuses it by raising."""

    # Process

    def start(self) -> bool:
        """Configure and activate the node if the parameter ``autostart`` says so.

        Returns:
            False if the node was to start itself and could not; the log has the reason.
        """
        if not self.parameters.autostart:
            self.get_logger().info(
                "autostart is off: waiting for a lifecycle manager to configure the node"
            )
            return True
        return (
            self.trigger_configure() == TransitionCallbackReturn.SUCCESS
            and self.trigger_activate() == TransitionCallbackReturn.SUCCESS
        )

    def release(self) -> None:
        """Ends work and frees everything, whatever the state; for the end of the process."""
        self._active = False
        self._configured = False
        self.deactivate()
        self.cleanup()

    def report_fault(self, error: Exception) -> None:
        """Log and count an exception that escaped from a callback.

        The node goes on: what one message or one tick of a timer did wrong, the next may not. The
        log is throttled, the count `faults` is published on /diagnostics.
        """
        self.faults += 1
        self.get_logger().error(
            f"internal error, please report it: {type(error).__name__}: {error}\n"
            + "".join(traceback.format_exception(error)),
            throttle_duration_sec=10.0,
        )

    def _check_clock(self) -> None:
        self._clock_timer.cancel()
        if is_clock_missing(self):
            self.get_logger().warning(CLOCK_MISSING)

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        if not self._attempt("configure", self.configure):
            self.cleanup()
            return TransitionCallbackReturn.FAILURE
        self._configured = True
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_activate(state)
        if not self._attempt("activate", self.activate):
            self.deactivate()
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        self._active = True
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._active = False
        self.deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured, from where the node can be configured anew."""
        self.release()
        return super().on_error(state)

    def _attempt(self, transition: str, hook: Callable[[], None]) -> bool:
        try:
            hook()
        except EXPECTED_ERRORS as error:
            self.get_logger().error(f"cannot {transition}: {error}")
            self.get_logger().debug(traceback.format_exc())
            return False
        except Exception:  # a fault of ours, which rclpy would swallow
            self.get_logger().error(f"cannot {transition}: {traceback.format_exc()}")
            return False
        return True

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        values = {parameter.name: parameter.value for parameter in parameters}
        try:
            new = changed(self.parameters, values, self._configured)
            if self._configured and new != self.parameters:
                self.apply_parameters(new)
        except EXPECTED_ERRORS as error:
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # a fault of ours, which would end the executor
            self.get_logger().error(traceback.format_exc())
            return SetParametersResult(successful=False, reason=f"internal error: {error!r}")
        # Taken over here and not in a post-set callback, which Humble does not have: no other
        # callback of these nodes could refuse the values after this one.
        self.parameters = new
        return SetParametersResult(successful=True)


def run(node_type: Callable[[], ManagedNode], args: Sequence[str] | None = None) -> int:
    """Runs a node until Ctrl-C, SIGTERM or the shutdown of its context.

    Args:
        node_type: makes the node, once rclpy is initialized.
        args: command line, sys.argv by default.

    Returns:
        Exit status: 0, or 1 when the command line or a parameter is not valid, or when the node was
        to start itself (``autostart``) and could not.
    """
    node = None
    try:
        try:
            rclpy.init(args=args)
        except (ValueError, RuntimeError) as error:  # rcl cannot parse what is after --ros-args
            print(f"cannot start with these ROS arguments: {error}", file=sys.stderr)
            return 1
        try:
            node = node_type()
        except (ParameterError, NameValidationException, RuntimeError) as error:
            rclpy.logging.get_logger("feature_booster_ros").fatal(f"cannot start: {error}")
            return 1
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
    return 0


def _spin(executor: SingleThreadedExecutor, node: ManagedNode) -> None:
    """Run callbacks until the context shuts down; report an exception of one and go on."""
    while rclpy.ok():
        try:
            executor.spin_once()
        except (KeyboardInterrupt, ExternalShutdownException):
            raise
        except Exception as error:
            if not rclpy.ok():  # Ctrl-C has taken the middleware away in the middle of a callback
                return
            node.report_fault(error)
