# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Times of frames, in integer nanoseconds, and what becomes of a frame whose time does not rise.

A float64 of seconds since 1970 keeps no more than 0.2 microseconds.
"""

from __future__ import annotations

import bisect
import enum
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import numpy as np

NANOSECONDS = 1_000_000_000
JUMP_BACK = 1.0
"""Seconds; stamps that go back by more are of a new recording, by less out of order."""

_JUMP_AHEAD = 86_400  # seconds; no recording has such a gap, but a clock that is set has
_TELL_PERIOD = 5.0  # seconds
_SHORTEST_STEP = 200_000  # nanoseconds: no camera of a robot takes 5000 images a second
_LATEST = 100_000_000_000  # seconds since 1970 until the year 5138: more is another unit

Item = TypeVar("Item")


class Order(enum.Enum):
    """How a stamp follows the last one that rose."""

    RISING = "rising"
    REPEATED = "repeated"
    """The last stamp again, or next to it."""
    UNSET = "unset"
    """Zero, where it is not the start of a clock that begins with zero."""
    OUT_OF_ORDER = "out_of_order"
    """A little back: the frame is late."""
    STRAY = "stray"
    """Days away from the last one, and the next one has not confirmed that yet."""
    RESTARTED = "restarted"
    """Far back or days ahead: a recording that loops, a clock that was set."""


UNUSABLE = (Order.REPEATED, Order.UNSET, Order.OUT_OF_ORDER, Order.STRAY)
"""Frames with these stamps say nothing of the motion since the last: they are left out."""

_REMEDIES = {
    Order.REPEATED: "have the driver or the converter stamp each image with its own time",
    Order.UNSET: "have the driver set header.stamp",
    Order.STRAY: "find out which node writes such stamps, or what sets its clock",
    Order.OUT_OF_ORDER: "find out which node or converter reorders or delays the images",
}


class StampWatch:
    """The one policy for the stamps of a stream of frames, in the order in which they come.

    Args:
        tell: takes a line that names both stamps, what follows and the remedy: once for each kind
            of fault, and when the stream starts anew, though not more often than every 5 s.
        unusable: what becomes of frames whose stamps do not rise, for that line.
        restart: what follows where the stream starts anew.
        confirm: whether a stamp that is days away from the last one restarts the stream only if the
            next one follows it, so that one wrong stamp costs one frame.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        unusable: str = "such frames are left out",
        restart: str = "starting anew from this frame",
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
        """Forget the last stamp, but not what has been told."""
        self._last = None

    def restart(self, stamp_ns: int, reason: str) -> None:
        """Start again from a frame with this stamp [ns], and report the reason."""
        self._last = stamp_ns
        if time.monotonic() - self._restart_told >= _TELL_PERIOD:
            self._restart_told = time.monotonic()
            self._tell(f"{reason}: {self._restart}")

    def add(self, stamp_ns: int, jump_back: float = JUMP_BACK, name: str = "") -> Order:
        """How a frame's stamp follows; the frame is to be left out where that is in `UNUSABLE`.

        Args:
            stamp_ns: nanoseconds.
            jump_back: seconds; stamps that go back by more are of a new recording.
            name: of the frame, for what is told.
        """
        last = self._last
        order = Order.RISING if last is None else _order(stamp_ns, last, jump_back)
        stray, self._stray = self._stray, None
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
    return Order.REPEATED if step < _SHORTEST_STEP else Order.RISING


def _jump(step_ns: int) -> str:
    if step_ns < 0:
        return f"stamps went back by {-step_ns / NANOSECONDS:.3f} s (a recording that loops?)"
    days = step_ns / NANOSECONDS / 86_400
    return f"stamps went ahead by {days:.1f} days (a clock that was set, or another unit of time?)"


def _hint(stamp_ns: int, last_ns: int) -> str:
    if stamp_ns and stamp_ns == last_ns and stamp_ns % NANOSECONDS == 0:
        return ", in whole seconds"
    step = stamp_ns - last_ns
    if 0 < step < _SHORTEST_STEP:
        return f", {step / 1e6:g} ms later: another unit of time?"
    return ""


def show(stamp_ns: int) -> str:
    """A stamp in seconds with all its digits."""
    sign, (seconds, rest) = "-" * (stamp_ns < 0), divmod(abs(stamp_ns), NANOSECONDS)
    return f"{sign}{seconds}.{rest:09d}"


def rising(frames: Iterable[Item], tell: Callable[[str], None]) -> Iterator[Item]:
    """The frames whose stamps rise, for who cannot start anew; the others are left out.

    A stamp that is days ahead of both its neighbors is left out, too, instead of all that follow.

    Args:
        frames: in the order in which they come, with `stamp_ns` and `name`; read one ahead.
        tell: takes a line for each kind of fault, and at the end how many were left out.
    """
    watch = StampWatch(tell, restart="going on")
    last, left_out = None, 0
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
    """Each item and a list of the one after it, empty at the end."""
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
    """The items by rising stamps, where they are out of order by less than `window` places.

    Where stamps go back by more than `JUMP_BACK`, what came before keeps its place before.
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
