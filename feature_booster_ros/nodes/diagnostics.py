# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a node reports about its work: frames in error in the log, and /diagnostics (REP 107)."""

from __future__ import annotations

import collections
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from feature_booster_ros.stamps import NANOSECONDS, UNUSABLE, Order

from .lifecycle import (
    CLOCK_MISSING,
    ManagedNode,
    Resources,
    Throttle,
    is_clock_missing,
    kind_of_error,
)

_FRAMES_TIMED = 30  # Frames over which the time of a stage is averaged.
_ERROR_PERIOD = 5.0  # Shortest time between two log lines of one kind of error [s].
_STAMP_FAULTS = tuple(order.value for order in UNUSABLE)
_EVENTS = ("received", "processed", "dropped", "idle", "errors", "missing", *_STAMP_FAULTS)
_LARGEST_SHARE_MISSING = 0.1  # Share of frames missing in a period above which it is a warning.
_INTERVALS_KEPT = 30  # Intervals between stamps that tell the frame rate.
_FEWEST_INTERVALS = 10  # Fewer tell no frame rate.
_LONGEST_GAP = 5.0  # A longer gap between stamps is a pause, and nothing was lost [s].


class FrameStatistics:
    """Counts and times of the frames a node works on; all methods may be called from any thread.

    Counts are from the node's activation, rates since the last :meth:`period`, and times the means
    of the last frames.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._totals: collections.Counter[str] = collections.Counter()
            self._period: collections.Counter[str] = collections.Counter()
            self._seconds: dict[str, collections.deque[float]] = {}
            self._since = time.monotonic()
            self._last_error = ""

    def count(self, event: str) -> None:
        """Count an event: "received", "processed", "dropped", "idle" or a fault of a stamp."""
        with self._lock:
            self._count(event)

    def count_missing(self, frames: int) -> None:
        """Count frames that did not arrive, as the stamps of the others tell."""
        with self._lock:
            self._totals["missing"] += frames
            self._period["missing"] += frames

    def count_error(self, text: str) -> None:
        """Count an error and keep its text for the next status."""
        with self._lock:
            self._count("errors")
            self._last_error = text

    def count_order(self, order: Order) -> None:
        """Count a frame whose stamp does not rise."""
        if order in UNUSABLE:
            self.count(order.value)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the time of a stage of a frame's work."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.record(name, time.perf_counter() - start)

    def record(self, name: str, seconds: float) -> None:
        """Record the time of a stage that was measured elsewhere."""
        with self._lock:
            self._seconds.setdefault(name, collections.deque(maxlen=_FRAMES_TIMED)).append(seconds)

    def total(self, event: str) -> int:
        """Return how often an event has been counted."""
        with self._lock:
            return self._totals[event]

    def period(self) -> tuple[collections.Counter[str], dict[str, str], str]:
        """End a period; return its counts, what to publish (name to value), and its last error."""
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

    def _count(self, event: str) -> None:
        self._totals[event] += 1
        self._period[event] += 1


class MissingFrames:
    """Tell from the stamps of a camera's frames how many did not arrive between two of them.

    The interval of the camera is the shortest usual one of late, so that it is found while half of
    the frames are lost. Where more are lost, fewer are counted.
    """

    def __init__(self) -> None:
        self._intervals: collections.deque[int] = collections.deque(maxlen=_INTERVALS_KEPT)
        self._last: int | None = None

    def add(self, stamp_ns: int) -> int:
        """Return how many frames are missing before this one, whose stamp rises."""
        last, self._last = self._last, stamp_ns
        if last is None or not 0 < stamp_ns - last < _LONGEST_GAP * NANOSECONDS:
            return 0
        self._intervals.append(stamp_ns - last)
        if len(self._intervals) < _FEWEST_INTERVALS:
            return 0
        usual = sorted(self._intervals)[len(self._intervals) // 5]
        return round((stamp_ns - last) / usual) - 1 if stamp_ns - last > 1.6 * usual else 0


class FrameMonitor(FrameStatistics):
    """The one way in which a node logs, counts and publishes how its frames fare.

    Args:
        node: Whose frames they are.
        topic: That the frames come from.
        period: Seconds between two messages on /diagnostics.
        condition: Returns level and message while frames come and none is in error.
        values: Returns further values to publish, such as the model in use.
        camera: Name of the camera that the frames are of, where the node serves several.
    """

    def __init__(
        self,
        node: ManagedNode,
        topic: str,
        period: float,
        condition: Callable[[], tuple[bytes, str]] = lambda: (DiagnosticStatus.OK, "running"),
        values: Callable[[], dict[str, str]] = dict,
        camera: str = "",
    ) -> None:
        super().__init__()
        self._node = node
        self.log = node.get_logger()
        """Where to log about the frames; throttled apart from those of other cameras."""
        if camera:
            self.log = self.log.get_child(camera.replace("/", "."))
        self._subject = f"frames of {camera}" if camera else "frames"
        self._topic = topic
        self._interval = period
        self._condition = condition
        self._values = values
        self._faults = node.faults
        self._throttle = Throttle(_ERROR_PERIOD)
        self.is_idle = False
        """Whether the node receives nothing on purpose, as nobody wants its results."""

    def activate(self, resources: Resources) -> None:
        """Publish on /diagnostics, counting from zero."""
        self.clear()
        self._faults = self._node.faults
        publisher = resources.publisher(DiagnosticArray, "/diagnostics", 10)
        resources.timer(self._interval, lambda: publisher.publish(self._message()))

    def warn(self, text: str) -> None:
        """Log a warning about the topic that the frames come from."""
        self.log.warning(f"{self._topic}: {text}")

    def report(self, error: Exception, consequence: str) -> None:
        """Count an error of a frame, and log it with its consequence, each kind every 5 s."""
        self.count_error(str(error))
        if self._throttle.is_due((kind_of_error(error), consequence)):
            self.log.error(f"{consequence}: {error}")
            self.log.debug("".join(traceback.format_exception(error)))

    @contextmanager
    def skip_on_error(self) -> Iterator[None]:
        """Report an exception, which concerns this frame alone; the node goes on with the next."""
        try:
            yield
        except Exception as error:
            if self._node.context.ok():  # else Ctrl-C has shut down the middleware meanwhile
                self.report(error, "frame skipped")

    def _message(self) -> DiagnosticArray:
        counts, values, error = self.period()
        faults = self._node.faults
        level, text = self._status(counts, error, faults - self._faults)
        self._faults = faults
        if counts["dropped"]:
            self.log.info(
                f"dropped {values['dropped']} of {values['received']} frames so far, "
                f"{counts['dropped']} of them in the last {self._interval:g} s: working on the "
                "newest",
                throttle_duration_sec=10.0,
            )
        values = {**values, "internal_errors": str(faults), **self._values()}
        status = DiagnosticStatus(
            level=level,
            name=f"{self._node.get_fully_qualified_name().lstrip('/')}: {self._subject}",
            message=text,
            hardware_id="",
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        return message

    def _status(
        self, counts: collections.Counter[str], error: str, new_faults: int
    ) -> tuple[bytes, str]:
        """Return level and message of a period with these counts."""
        if counts["errors"]:
            return DiagnosticStatus.ERROR, error
        if new_faults:
            return DiagnosticStatus.ERROR, "internal error, see the log"
        if is_clock_missing(self._node):
            return DiagnosticStatus.WARN, CLOCK_MISSING
        if self.is_idle:
            return DiagnosticStatus.OK, "idle, as nobody subscribes"
        if not counts["received"]:
            return DiagnosticStatus.STALE, f"nothing received on {self._topic}"
        faults = [
            f"{counts[fault]} {fault.replace('_', ' ')}" for fault in _STAMP_FAULTS if counts[fault]
        ]
        if faults:
            return DiagnosticStatus.WARN, (
                f"stamps do not rise: {', '.join(faults)}; have the driver stamp each frame with "
                "its own time"
            )
        level, text = self._condition()
        missing = counts["missing"]
        if level == DiagnosticStatus.OK and missing > _LARGEST_SHARE_MISSING * (
            missing + counts["received"]
        ):
            return DiagnosticStatus.WARN, (
                f"{missing} frames are missing on {self._topic}, as the stamps tell: large images "
                "are lost in the middleware (docs/reliability.md), or the camera drops them"
            )
        if level == DiagnosticStatus.OK and counts["dropped"]:
            return DiagnosticStatus.WARN, (
                "overloaded: working on the newest frame, older ones are dropped"
            )
        if level == DiagnosticStatus.OK and counts["idle"]:
            return level, "idle, as nobody subscribes"
        return level, text
