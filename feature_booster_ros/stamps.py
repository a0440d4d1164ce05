# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Times of frames in integer nanoseconds, and the policy for stamps that do not rise.

A float64 of seconds since 1970 has a resolution of 0.2 microseconds only.
"""

from __future__ import annotations

import bisect
import enum
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Protocol, TypeVar

import numpy as np

NANOSECONDS = 1_000_000_000
JUMP_BACK = 1.0
"""Backward step of a stamp above which a new recording starts [s]; below, it is out of order."""

_JUMP_AHEAD = 86_400
"""Forward step of a stamp above which the clock was set [s]; no recording has such a gap."""
_REPORT_PERIOD = 5.0
"""Least time between two reports of restarts [s]."""
_MIN_STEP = 200_000
"""Step of a stamp below which it is repeated [ns]; no camera takes 5000 images a second."""
_LATEST = 100_000_000_000
"""Largest time since 1970 [s], of the year 5138; larger numbers are in another unit."""

Item = TypeVar("Item")


class StampedFrame(Protocol):
    """A frame with a stamp and a name."""

    @property
    def stamp_ns(self) -> int:
        """Time of the frame [ns]."""

    @property
    def name(self) -> str:
        """Name of the frame, for messages."""


Frame = TypeVar("Frame", bound=StampedFrame)


class Order(enum.Enum):
    """How a stamp follows the last one that rose."""

    RISING = "rising"
    REPEATED = "repeated"
    """The last stamp again, or almost."""
    UNSET = "unset"
    """Zero, unless it is the start of a clock at zero."""
    OUT_OF_ORDER = "out_of_order"
    """A small step back: the frame is late."""
    STRAY = "stray"
    """Days away from the last one, and not confirmed by the next one yet."""
    RESTARTED = "restarted"
    """A large step back or days ahead: a recording that loops, or a clock that was set."""


UNUSABLE = (Order.REPEATED, Order.UNSET, Order.OUT_OF_ORDER, Order.STRAY)
"""Orders of the frames that are left out, since their time since the last frame is unknown."""

_REMEDIES = {
    Order.REPEATED: "have the driver or the converter stamp each image with its own time",
    Order.UNSET: "have the driver set header.stamp",
    Order.STRAY: "find out which node writes such stamps, or what sets its clock",
    Order.OUT_OF_ORDER: "find out which node or converter reorders or delays the images",
}


class StampWatch:
    """The policy for the stamps of a stream of frames, in order of arrival.

    Args:
        tell: called with a line that names both stamps, the consequence and the remedy: once for
            each kind of fault, and for restarts of the stream at most every 5 s.
        unusable: consequence for frames whose stamps do not rise.
        restart: consequence of a restart.
        confirm: whether a stamp that is days away from the last one restarts the stream only if the
            next one follows it, so that one wrong stamp costs one frame.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        unusable: str = "such frames are left out",
        restart: str = "restarting from this frame",
        confirm: bool = False,
    ) -> None:
        self._tell = tell
        self._unusable = unusable
        self._restart = restart
        self._confirm = confirm
        self._stray: int | None = None
        self._restart_told = -math.inf
        self._told: set[Order] = set()
        self._last: int | None = None

    def reset(self) -> None:
        """Forget the last stamp, but not which faults were reported."""
        self._last = None

    def restart(self, stamp_ns: int, reason: str) -> None:
        """Start again from a frame with this stamp [ns], and report the reason."""
        self._last = stamp_ns
        if time.monotonic() - self._restart_told >= _REPORT_PERIOD:
            self._restart_told = time.monotonic()
            self._tell(f"{reason}: {self._restart}")

    def add(self, stamp_ns: int, jump_back: float = JUMP_BACK, name: str = "") -> Order:
        """Return how a frame's stamp follows the last; frames in `UNUSABLE` are to be left out.

        Args:
            stamp_ns: time of the frame [ns].
            jump_back: backward step above which a new recording starts [s].
            name: of the frame, for messages.
        """
        last = self._last
        stray, self._stray = self._stray, None
        if last is None:
            self._last = stamp_ns
            return Order.RISING
        order = _order(stamp_ns, last, jump_back)
        if (
            order is Order.RESTARTED
            and self._confirm
            and abs(stamp_ns - last) > _JUMP_AHEAD * NANOSECONDS
            and (stray is None or _order(stamp_ns, stray, jump_back) is not Order.RISING)
        ):
            order, self._stray = Order.STRAY, stamp_ns
        if order is Order.RESTARTED:
            self.restart(stamp_ns, _jump(stamp_ns - last))
        elif order in UNUSABLE and order not in self._told:
            self._told.add(order)
            whose = f" of {name}" if name else ""
            self._tell(
                f"stamps do not rise: {show(stamp_ns)}{whose} comes after {show(last)} "
                f"({order.value.replace('_', ' ')}{_hint(stamp_ns, last)}): {self._unusable}; "
                f"{_REMEDIES[order]}"
            )
        if order not in UNUSABLE:
            self._last = stamp_ns
        return order


def _order(stamp_ns: int, last_ns: int, jump_back: float) -> Order:
    step = stamp_ns - last_ns
    if stamp_ns == 0 and (step == 0 or step < -_JUMP_AHEAD * NANOSECONDS):
        return Order.UNSET
    if step < -jump_back * NANOSECONDS or step > _JUMP_AHEAD * NANOSECONDS:
        return Order.RESTARTED
    if step < 0:
        return Order.OUT_OF_ORDER
    return Order.REPEATED if step < _MIN_STEP else Order.RISING


def _jump(step_ns: int) -> str:
    if step_ns < 0:
        return f"stamps went back by {-step_ns / NANOSECONDS:.3f} s (a recording that loops?)"
    days = step_ns / NANOSECONDS / 86_400
    return f"stamps went ahead by {days:.1f} days (a clock that was set, or another unit of time?)"


def _hint(stamp_ns: int, last_ns: int) -> str:
    if stamp_ns and stamp_ns == last_ns and stamp_ns % NANOSECONDS == 0:
        return ", in whole seconds"
    step = stamp_ns - last_ns
    if 0 < step < _MIN_STEP:
        return f", {step / 1e6:g} ms later: another unit of time?"
    return ""


def show(stamp_ns: int) -> str:
    """Return a stamp in seconds with all its digits."""
    sign, (seconds, rest) = "-" * (stamp_ns < 0), divmod(abs(stamp_ns), NANOSECONDS)
    return f"{sign}{seconds}.{rest:09d}"


def rising(frames: Iterable[Frame], tell: Callable[[str], None]) -> Iterator[Frame]:
    """Yield the frames whose stamps rise, for users that cannot restart.

    A stamp that is days ahead of both its neighbors is left out as well, and not all that follow.

    Args:
        frames: in order of arrival; read one ahead.
        tell: called with a line for each kind of fault, and at the end with the number left out.
    """
    watch = StampWatch(tell, restart="going on")
    last: int | None = None
    left_out = 0
    for frame, following in _with_next(frames):
        reach = frame.stamp_ns - _JUMP_AHEAD * NANOSECONDS
        strays = last is not None and last < reach and following and following[0].stamp_ns < reach
        if strays or watch.add(frame.stamp_ns, math.inf, frame.name) in UNUSABLE:
            left_out += 1
            continue
        last = frame.stamp_ns
        yield frame
    if left_out:
        tell(f"{left_out} frames were left out, since their stamps do not rise")


def _with_next(items: Iterable[Item]) -> Iterator[tuple[Item, list[Item]]]:
    """Yield each item and a list of the next one, empty at the end."""
    before: list[Item] = []
    for item in items:
        if before:
            yield before[0], [item]
        before = [item]
    if before:
        yield before[0], []


def in_order(
    items: Iterable[Item], stamp_of: Callable[[Item], int], window: int = 8
) -> Iterator[Item]:
    """Yield items in order of their stamps, if they are out of order by less than `window` places.

    Items before a backward step of more than `JUMP_BACK` stay before those after it.
    """
    waiting: list[Item] = []
    newest = None
    for item in items:
        stamp_ns = stamp_of(item)
        if newest is not None and stamp_ns < newest - JUMP_BACK * NANOSECONDS:
            yield from waiting
            waiting, newest = [], None
        newest = stamp_ns if newest is None else max(newest, stamp_ns)
        bisect.insort_right(waiting, item, key=stamp_of)
        if len(waiting) > window:
            yield waiting.pop(0)
    yield from waiting


def parse_seconds(text: str) -> int:
    """Nanoseconds of a decimal number of seconds, exactly.

    Raises:
        ValueError: The text is not a finite number, or too large to be in seconds.
    """
    try:
        seconds = Decimal(text.strip())
        nanoseconds = int((seconds * NANOSECONDS).to_integral_value())
    except (InvalidOperation, OverflowError, ValueError):
        raise ValueError(f"{text.strip()!r} is not a time in seconds") from None
    if abs(seconds) > _LATEST:
        # The seconds since 1970 have ten digits in this century.
        unit = next(
            name
            for digits, name in ((14, "milliseconds"), (17, "microseconds"), (99, "nanoseconds"))
            if seconds.adjusted() < digits
        )
        raise ValueError(
            f"{text.strip()} is no time in seconds, but looks like {unit}: convert it to seconds"
        )
    return nanoseconds


def parse_date(text: str) -> int:
    """Nanoseconds since 1970 of "2011-09-26 13:02:25.964389445", taken as UTC.

    Raises:
        ValueError: The text is not a date and time of that form.
    """
    whole, _, fraction = text.strip().partition(".")
    try:
        moment = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
        return int(moment.timestamp()) * NANOSECONDS + int(fraction.ljust(9, "0")[:9])
    except ValueError:
        raise ValueError(f"{text.strip()!r} is not a date and time") from None


def frame_rate(stamps_ns: Sequence[int]) -> float | None:
    """Frame rate in Hz from the median distance of stamps in order; None where they do not rise."""
    if len(stamps_ns) < 2:
        return None
    step = float(np.median(np.diff(np.asarray(stamps_ns, dtype=np.int64))))
    return NANOSECONDS / step if step > 0 else None
