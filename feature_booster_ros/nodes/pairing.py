# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pair the items of a stream, none of which is lost, with the nearest in time of another stream."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from feature_booster_ros.stamps import JUMP_BACK, NANOSECONDS

Item = TypeVar("Item")
Companion = TypeVar("Companion")

LONGEST_WAIT = 0.2
"""Time that an item waits for its companion, while these arrive in time at all [s]."""
_KEPT = 10
"""Most items that wait, and by default most companions whose item is yet to arrive."""
_REMEMBERED = 30
"""Items of which it is remembered whether they had a companion."""


class NearestPairing(Generic[Item, Companion]):
    """Hand on each item once, in order, with the companion whose stamp is next to its own.

    An item waits until a companion of its stamp or a later one has arrived, which decides what is
    next to it, but not longer than ``LONGEST_WAIT``. Once an item has waited in vain, the next ones
    are handed on at once, until a companion arrives that would have been in time.

    Not safe for threads.

    Args:
        within_ns: Largest difference of the stamps [ns].
        hand_on: Takes an item and its companion, or None without one.
        clock: Returns the time [s].
        kept: Most companions whose item is yet to arrive.
    """

    def __init__(
        self,
        within_ns: int,
        hand_on: Callable[[Item, Companion | None], None],
        clock: Callable[[], float] = time.monotonic,
        kept: int = _KEPT,
    ) -> None:
        self.companions = 0
        """Companions received so far."""
        self.paired = 0
        """Items handed on with a companion."""
        self.missing = 0
        """Items handed on without one."""
        self.latest: collections.deque[bool] = collections.deque(maxlen=_REMEMBERED)
        """Whether each of the latest items had one."""
        self.nearest_ns: int | None = None
        """From the last item without companion to the nearest one in time; None without any."""
        self._within_ns = within_ns
        self._hand_on = hand_on
        self._clock = clock
        self._waits = True
        self._waiting: collections.deque[tuple[int, Item, float]] = collections.deque()
        self._recent: collections.deque[tuple[int, Companion]] = collections.deque(maxlen=kept)
        # Stamps of items that were handed on without companion, and when they had arrived.
        self._alone: collections.deque[tuple[int, float]] = collections.deque(maxlen=_KEPT)

    @property
    def is_waiting(self) -> bool:
        """Whether an item waits."""
        return bool(self._waiting)

    def add(self, stamp_ns: int, item: Item) -> None:
        """Take an item, and hand on those that are decided."""
        self._forget_if_restarted(stamp_ns)
        self._waiting.append((stamp_ns, item, self._clock()))
        if len(self._waiting) > _KEPT:
            self._hand_on_first()
        self.hand_on_decided()

    def add_companion(self, stamp_ns: int, companion: Companion) -> None:
        """Take a companion, and hand on the items that are then decided."""
        self.companions += 1
        self._forget_if_restarted(stamp_ns)
        self._recent.append((stamp_ns, companion))
        if len(self._recent) > 1 and stamp_ns < self._recent[-2][0]:  # overtaken on its way
            self._recent = collections.deque(
                sorted(self._recent, key=lambda each: each[0]), self._recent.maxlen
            )
        now = self._clock()
        self._waits = self._waits or any(
            abs(stamp_ns - item_ns) <= self._within_ns and now - since < LONGEST_WAIT
            for item_ns, since in self._alone
        )
        self.hand_on_decided()

    def hand_on_decided(self) -> None:
        """Hand on the items that wait for nothing more; to be called while items wait, too."""
        while self._waiting:
            stamp_ns, _, since = self._waiting[0]
            is_decided = bool(self._recent) and self._recent[-1][0] >= stamp_ns
            is_overdue = self._clock() - since >= LONGEST_WAIT or not self._waits
            if not (is_decided or is_overdue):
                break
            has_companion = self._hand_on_first()
            self._waits = self._waits and (is_decided or has_companion)

    def clear(self) -> None:
        """Forget the items that wait."""
        self._waiting.clear()

    def _forget_if_restarted(self, stamp_ns: int) -> None:
        """Forget the companions of before a restart, if a stamp tells of one."""
        jump_ns = round(JUMP_BACK * NANOSECONDS)
        if self._recent and self._recent[-1][0] > stamp_ns + jump_ns:
            self._recent.clear()

    def _hand_on_first(self) -> bool:
        """Hand on the first item that waits; return whether it has a companion."""
        stamp_ns, item, since = self._waiting.popleft()
        distances = [abs(other_ns - stamp_ns) for other_ns, _ in self._recent]
        self.nearest_ns = min(distances, default=None)
        has_companion = self.nearest_ns is not None and self.nearest_ns <= self._within_ns
        self.latest.append(has_companion)
        if has_companion:
            self.paired += 1
            self._hand_on(item, self._recent[distances.index(min(distances))][1])
        else:
            self.missing += 1
            self._alone.append((stamp_ns, since))
            self._hand_on(item, None)
        return has_companion
