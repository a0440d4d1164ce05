# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a node tells about its work on /diagnostics (REP 107)."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from feature_booster_ros.stamps import JUMP_BACK, UNUSABLE, Order, StampWatch

from .lifecycle import ManagedNode
from .timers import CLOCK_MISSING, is_clock_missing, steady_timer

_FRAMES_TIMED = 30
_STAMP_FAULTS = tuple(order.value for order in UNUSABLE)
_EVENTS = ("received", "processed", "dropped", "idle", "errors", *_STAMP_FAULTS)


class FrameStatistics:
    """Counts and times of the frames a node works on; all methods may be called from any thread.

    Counts are from the node's activation, rates since the last :meth:`period`, and times the means
    of the last frames.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: collections.Counter[str] = collections.Counter()
        self._period: collections.Counter[str] = collections.Counter()
        self._seconds: dict[str, collections.deque[float]] = {}
        self._since = time.monotonic()
        self._last_error = ""

    def count(self, event: str) -> None:
        """Counts one event: "received", "processed", "dropped", "idle", "errors", or how a stamp
        does not rise.
        """
        with self._lock:
            self._totals[event] += 1
            self._period[event] += 1

    def error(self, text: str) -> None:
        """Counts an error and keeps its text for the next status."""
        with self._lock:
            self._totals["errors"] += 1
            self._period["errors"] += 1
            self._last_error = text

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a stage of a frame's work."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.record(name, time.perf_counter() - start)

    def record(self, name: str, seconds: float) -> None:
        """Takes the time of a stage that was measured elsewhere."""
        with self._lock:
            self._seconds.setdefault(name, collections.deque(maxlen=_FRAMES_TIMED)).append(seconds)

    def total(self, event: str) -> int:
        """How often an event has been counted."""
        with self._lock:
            return self._totals[event]

    def period(self) -> tuple[collections.Counter[str], dict[str, str], str]:
        """Ends a period: its counts, what to publish (name to value), and its last error."""
        with self._lock:
            now = time.monotonic()
            elapsed = max(now - self._since, 1e-9)
            values = {
                "received_hz": f"{self._period['received'] / elapsed:.2f}",
                "processed_hz": f"{self._period['processed'] / elapsed:.2f}",
            }
            for event in _EVENTS:
                values[event] = str(self._totals[event])
            for stage, seconds in self._seconds.items():
                values[f"{stage}_ms"] = f"{1000 * sum(seconds) / len(seconds):.2f}"
            counts, error = self._period, self._last_error
            self._period = collections.Counter()
            self._since, self._last_error = now, ""
            return counts, values, error


class StampMonitor:
    """A node's watch over the stamps of what it receives; faults are counted and logged.

    Args:
        node: whose log is written.
        count: takes the name of each fault, as `FrameStatistics.count`.
        topic: of the frames.
        unusable, restart: as `StampWatch` takes them.
    """

    def __init__(
        self,
        node: ManagedNode,
        count: Callable[[str], None],
        topic: str,
        **consequences: str,
    ) -> None:
        self._count = count
        self._watch = StampWatch(
            lambda text: node.get_logger().warning(f"{topic}: {text}"), **consequences
        )

    def add(self, stamp_ns: int, jump_back: float = JUMP_BACK) -> Order:
        """As `StampWatch.add`."""
        order = self._watch.add(stamp_ns, jump_back)
        if order in UNUSABLE:
            self._count(order.value)
        return order

    def reset(self) -> None:
        """As `StampWatch.reset`."""
        self._watch.reset()


class DiagnosticsPublisher:
    """Publishes a node's statistics on /diagnostics, and logs frames that were dropped.

    Args:
        node: whose statistics they are.
        statistics: to publish.
        source: topic that the frames come from, named when none come.
        period: seconds between two messages.
        condition: tells level and message while frames come and none is in error.
    """

    def __init__(
        self,
        node: ManagedNode,
        statistics: FrameStatistics,
        source: str,
        period: float,
        condition: Callable[[], tuple[bytes, str]] = lambda: (DiagnosticStatus.OK, "running"),
    ) -> None:
        self._node = node
        self._condition = condition
        self._statistics = statistics
        self._source = source
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = steady_timer(node, period, self._publish)
        self._faults = node.faults
        self.settings: dict[str, str] = {}
        """Further values to publish, such as the model in use."""

    def destroy(self) -> None:
        """Ends publishing."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _publish(self) -> None:
        counts, values, error = self._statistics.period()
        faults = self._node.faults
        new_faults, self._faults = faults - self._faults, faults
        values["internal_errors"] = str(faults)
        if counts["errors"]:
            level, text = DiagnosticStatus.ERROR, error
        elif new_faults:
            level, text = DiagnosticStatus.ERROR, "internal error, see the log"
        elif is_clock_missing(self._node):
            level, text = DiagnosticStatus.WARN, CLOCK_MISSING
        elif not counts["received"]:
            level, text = DiagnosticStatus.STALE, f"nothing received on {self._source}"
        elif any(counts[fault] for fault in _STAMP_FAULTS):
            level = DiagnosticStatus.WARN
            text = "stamps do not rise: " + ", ".join(
                f"{counts[fault]} {fault.replace('_', ' ')}"
                for fault in _STAMP_FAULTS
                if counts[fault]
            )
            text += "; have the driver stamp each frame with its own time"
        else:
            level, text = self._condition()
            if level == DiagnosticStatus.OK and counts["dropped"]:
                level = DiagnosticStatus.WARN
                text = "overloaded: working on the newest frame, older ones are dropped"
            elif level == DiagnosticStatus.OK and counts["idle"]:
                text = "idle, as nobody subscribes"
        if counts["dropped"]:
            self._node.get_logger().info(
                f"dropped {counts['dropped']} of {counts['received']} frames, working on the "
                f"newest ({values['dropped']} of {values['received']} in all)",
                throttle_duration_sec=10.0,
            )
        status = DiagnosticStatus(
            level=level,
            name=f"{self._node.get_fully_qualified_name().lstrip('/')}: frames",
            message=text,
            hardware_id="",
            values=[
                KeyValue(key=key, value=value) for key, value in {**values, **self.settings}.items()
            ],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
