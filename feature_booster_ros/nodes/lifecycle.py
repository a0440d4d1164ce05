# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The base class of all nodes of the package, a lifecycle node, and what its states own."""

from __future__ import annotations

import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from typing import Any, ClassVar, TypeVar

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType, ROSClock
from rclpy.lifecycle import (
    LifecycleNode,
    LifecyclePublisher,
    LifecycleState,
    TransitionCallbackReturn,
)
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from std_srvs.srv import Trigger

from .handshake import Handshakes
from .parameters import NodeParameters, changed, declare

Message = TypeVar("Message")

CLOCK_MISSING = (
    "use_sim_time is true, but nothing comes on /clock: play the bag with it (ros2 bag play "
    "--clock BAG), start the simulation, or set use_sim_time to false"
)
# Exceptions that mean that things are not as the parameters say: weights missing, no CUDA, a bad
# value. Their message names the cause and the remedy, so that one line in the log says enough.
EXPECTED_ERRORS = (ValueError, OSError, RuntimeError, ImportError)

# Topics of rclpy, not of the nodes' work.
_TOPICS_OF_RCLPY = {"/clock", "/parameter_events"}
_CLOCK_PATIENCE = 5.0  # Wait for /clock before its absence is reported [s].
_FAULT_PERIOD = 10.0  # Shortest time between two reports of one kind of fault [s].


class Throttle:
    """Say whether something of a kind is to be logged now: at most once a period.

    Args:
        period: In seconds.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self._logged: dict[Hashable, float] = {}

    def is_due(self, kind: Hashable) -> bool:
        """Return whether the last True for this kind is at least a period ago."""
        now = time.monotonic()
        if now - self._logged.get(kind, -self._period) < self._period:
            return False
        self._logged[kind] = now
        return True


def kind_of_error(error: Exception) -> Hashable:
    """Return what errors of one kind have in common: the type, and the line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = None if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
    return type(error), place


def steady_timer(node: Node, period: float, callback: Callable[[], None]) -> Timer:
    """Return a timer of the steady clock, which runs on whatever /clock does; period in seconds."""
    return node.create_timer(period, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


def is_clock_missing(node: Node) -> bool:
    """Return whether the node waits for its first message on /clock (parameter use_sim_time)."""
    clock = node.get_clock()
    return isinstance(clock, ROSClock) and clock.ros_time_is_active and clock.now().nanoseconds == 0


class Resources(ExitStack):
    """What a node makes in one of its states; leaving the state destroys it, last made first.

    Args:
        node: Whose topics, timers and services they are.
    """

    def __init__(self, node: LifecycleNode) -> None:
        super().__init__()
        self._node = node

    def lifecycle_publisher(
        self, message_type: type[Message], topic: str, qos: QoSProfile
    ) -> LifecyclePublisher[Message]:
        """Return a publisher that publishes only while the node is active."""
        publisher = self._node.create_lifecycle_publisher(message_type, topic, qos)
        self.callback(self._node.destroy_lifecycle_publisher, publisher)
        return publisher

    def publisher(
        self, message_type: type[Message], topic: str, qos: QoSProfile | int
    ) -> Publisher[Message]:
        """Return a publisher that always publishes."""
        publisher = self._node.create_publisher(message_type, topic, qos)
        self.callback(self._node.destroy_publisher, publisher)
        return publisher

    def subscription(
        self,
        message_type: type[Message],
        topic: str,
        callback: Callable[[Message], None],
        qos: QoSProfile,
    ) -> Subscription[Message]:
        """Return a subscription."""
        subscription = self._node.create_subscription(message_type, topic, callback, qos)
        self.callback(self._node.destroy_subscription, subscription)
        return subscription

    def timer(self, period: float, callback: Callable[[], None]) -> Timer:
        """Return a :func:`steady_timer`."""
        timer = steady_timer(self._node, period, callback)
        self.callback(self._node.destroy_timer, timer)
        return timer

    def service(self, service_type: Any, name: str, callback: Callable[[Any, Any], Any]) -> None:
        """Offer a service."""
        service = self._node.create_service(service_type, name, callback)
        self.callback(self._node.destroy_service, service)


class Work(ABC):
    """What a node holds and does while it is configured; dropped when it is cleaned up."""

    @abstractmethod
    def activate(self, resources: Resources) -> str:
        """Begin to work: subscriptions, timers, threads, all of them in ``resources``.

        Returns:
            What the node now waits for, for the log.

        Raises:
            EXPECTED_ERRORS: It cannot; the message names the cause and the remedy.
        """

    def apply_parameters(self, new: Any) -> None:  # noqa: B027, few nodes need it
        """Make the parameters ``new`` take effect, or refuse them by raising ``EXPECTED_ERRORS``.

        They become the node's ``parameters`` afterwards.
        """


class ManagedNode(LifecycleNode):
    """A lifecycle node that can start itself, with parameters in a typed dataclass.

    A subclass sets the class attributes and overrides :meth:`configure`. That and
    :meth:`Work.activate` say that they cannot by raising one of ``EXPECTED_ERRORS`` with a message
    that names the cause and the remedy: it is logged as one line, what was begun is released, and
    the transition fails. The node then stays in its former state, so that a corrected parameter and
    another ``configure`` succeed.

    Raises:
        ParameterError: A parameter was given a value that is not allowed.
    """

    node_name: ClassVar[str]
    """Name, unless the node is started under another one (``__node:=NAME``)."""
    parameter_type: ClassVar[type[NodeParameters]]
    example: ClassVar[str] = ""
    """Arguments after ``--ros-args``, for ``--help``."""

    def __init__(self) -> None:
        super().__init__(self.node_name)
        self._work: Work | None = None
        self._configured = Resources(self)
        self._active = Resources(self)
        self.faults = 0
        """Exceptions that escaped from callbacks since the node was made."""
        self.failed = False
        """Whether the process is to end with an error status."""
        self._fault_throttle = Throttle(_FAULT_PERIOD)
        self._connected: list[Subscription] = []
        self._handshakes = Handshakes(self)
        self.parameters: Any = declare(self, self.parameter_type)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._clock_timer = steady_timer(self, _CLOCK_PATIENCE, self._check_clock)

    def configure(self, resources: Resources) -> Work:
        """Make what the node works with; what must be destroyed later goes into ``resources``."""
        raise NotImplementedError

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
        """End all work and destroy everything, whatever the state; also at the process's end."""
        self._work = None
        with self._configured, self._active:
            pass  # leaving both closes the inner one first, and the other whatever happens

    def report_fault(self, error: Exception) -> None:
        """Log and count an exception that escaped from a callback.

        The node goes on: what failed with one message or one tick of a timer may succeed with the
        next. Each kind is logged at most every ten seconds; the count ``faults`` is published on
        /diagnostics.
        """
        self.faults += 1
        if self._fault_throttle.is_due(kind_of_error(error)):
            self.get_logger().error(
                f"internal error, please report it: {type(error).__name__}: {error}\n"
                + "".join(traceback.format_exception(error))
            )

    def _check_clock(self) -> None:
        self._clock_timer.cancel()
        if is_clock_missing(self):
            self.get_logger().warning(CLOCK_MISSING)

    # Transitions, called by rclpy

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Make the node's work; the transition fails where that cannot be."""
        if not self._attempt("configure", self._configure):
            self.release()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable the publishers and begin to work."""
        result = super().on_activate(state)
        if not self._attempt("activate", self._activate):
            self._active.close()
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the work that activation began, and disable the publishers."""
        self._active.close()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop the node's work."""
        self.release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop the node's work, for good."""
        self.release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured, from where the node can be configured again."""
        self.release()
        return super().on_error(state)

    def _configure(self) -> None:
        # First: who knows the subscriptions of the work knows this service.
        self._configured.service(Trigger, "~/is_connected", self._report_connection)
        self._configured.callback(lambda: self._handshakes.close())
        self._work = self.configure(self._configured)

    def _activate(self) -> None:
        if self._work is None:
            raise RuntimeError("the node is not configured")
        self.get_logger().info(f"active: {self._work.activate(self._active)}")

    def _report_connection(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Say whether each topic has a publisher, and all of them know the subscriptions."""
        subscriptions = [
            subscription
            for subscription in self.subscriptions
            if subscription.topic_name not in _TOPICS_OF_RCLPY
        ]
        if subscriptions != self._connected:
            self._handshakes.close()
            self._connected, self._handshakes = subscriptions, Handshakes(self)
        missing = []
        for topic in sorted({subscription.topic_name for subscription in subscriptions}):
            publishers = self.get_publishers_info_by_topic(topic)
            if not publishers:
                missing.append(f"nobody publishes {topic}")
            elif names := self._handshakes.missing(publishers):
                missing.append(f"no answer of {', '.join(names)}, which publishes {topic}")
        response.success, response.message = not missing, "; ".join(missing)
        return response

    def _attempt(self, transition: str, hook: Callable[[], None]) -> bool:
        try:
            hook()
        except EXPECTED_ERRORS as error:
            self.get_logger().error(f"cannot {transition}: {error}")
            self.get_logger().debug(traceback.format_exc())
            return False
        except Exception:  # a fault of ours, which rclpy would hide
            self.get_logger().error(f"cannot {transition}: {traceback.format_exc()}")
            return False
        return True

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        values = {parameter.name: parameter.value for parameter in parameters}
        try:
            new = changed(self.parameters, values, configured=self._work is not None)
            if self._work is not None and new != self.parameters:
                self._work.apply_parameters(new)
        except EXPECTED_ERRORS as error:
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # a fault of ours
            self.report_fault(error)
            return SetParametersResult(successful=False, reason=f"internal error: {error!r}")
        # Taken over here and not in a post-set callback, which Humble does not have: no other
        # callback of these nodes could refuse the values after this one.
        self.parameters = new
        return SetParametersResult(successful=True)
