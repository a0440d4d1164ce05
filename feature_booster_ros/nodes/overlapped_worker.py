# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two threads that work on the newest items, one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class OverlappedWorker(Generic[Item, Result]):
    """A :class:`NewestWorker` whose work has two stages, each in a thread of its own: the second
    works on one item while the first works on the next.

    Items leave in the order in which they came, and one that the first stage has begun is never
    dropped: it hands its result over only when the second stage is free, and then takes up the
    newest item there is. No result waits behind another but the one in work.

    Where the second stage takes longer than the first, results made at once would be old by the
    time that it takes them. So the first stage then begins late enough to end when the second
    should, by the time that each took last: items per second are those of the slower stage alone,
    and an item's age is that of both stages' work, as without the overlap.

    Args:
        first: makes a result of an item, or None for nothing to hand on; must not raise.
        second: handles one result; must not raise.
        name: of the threads.
        overlap: false has the first stage wait for the second with each item. As the attribute of
            that name it may be set at any time.
    """

    def __init__(
        self,
        first: Callable[[Item], Result | None],
        second: Callable[[Result], None],
        name: str,
        overlap: bool = True,
    ) -> None:
        self.overlap = overlap
        self._first, self._second = first, second
        self._changed = threading.Condition()
        # The newest item, and the result handed over; None for none.
        self._waiting: Item | None = None
        self._result: Result | None = None
        self._second_is_free = True
        self._second_began = 0.0
        self._first_seconds = self._second_seconds = 0.0
        self._stopped = self._first_ended = False
        self._threads = [
            threading.Thread(target=target, name=f"{name}_{number}", daemon=True)
            for number, target in enumerate((self._run_first, self._run_second), start=1)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, item: Item) -> bool:
        """Hands over an item; whether one that waited was dropped for it."""
        with self._changed:
            dropped = self._waiting is not None
            self._waiting = item
            self._changed.notify_all()
            return dropped

    def stop(self, timeout: float = 30.0) -> None:
        """Ends the threads after the items they work on, forgetting the one that waits.

        Args:
            timeout: seconds to wait for them at most.
        """
        with self._changed:
            self._stopped = True
            self._waiting = None
            self._changed.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run_first(self) -> None:
        while (item := self._take()) is not None:
            began = time.monotonic()
            result = self._first(item)
            self._first_seconds = time.monotonic() - began
            if result is None:
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._second_is_free)
                self._second_is_free = False
                self._result = result
                self._second_began = time.monotonic()
                self._changed.notify_all()
        with self._changed:
            self._first_ended = True
            self._changed.notify_all()

    def _take(self) -> Item | None:
        """The newest item, as soon as there is one and it is time to begin; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._waiting is not None)
            while not self._stopped and not self._second_is_free:
                delay = None
                if self.overlap:
                    begin = self._second_began + self._second_seconds - self._first_seconds
                    delay = begin - time.monotonic()
                    if delay <= 0:
                        break
                self._changed.wait(delay)
            item, self._waiting = self._waiting, None
            return item

    def _run_second(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._first_ended or self._result is not None)
                result, self._result = self._result, None
            if result is None:
                return
            self._second(result)
            with self._changed:
                self._second_seconds = time.monotonic() - self._second_began
                self._second_is_free = True
                self._changed.notify_all()
