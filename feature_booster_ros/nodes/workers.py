# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Threads that work on the newest items."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class NewestWorker(Generic[Item]):
    """Work on items in a thread; of those that arrive meanwhile, the newest wait, in order.

    A subscription's callback only hands over its message, and the executor stays free for services
    and parameters. With a ``capacity`` of 1, the item taken up next is the newest one, however long
    the last one took. If the work were done in the callback instead, with a queue of that depth in
    the middleware, the executor would be busy, and dropped messages could not be counted.

    Args:
        work: Handles one item; must not raise.
        name: Of the thread.
        capacity: Most items that wait; when one more arrives, the oldest of them is dropped. Where
            each item builds on the previous one, a few of them bridge one that takes long.
    """

    def __init__(self, work: Callable[[Item], None], name: str, capacity: int = 1) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._waiting: collections.deque[Item] = collections.deque(maxlen=capacity)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> bool:
        """Hand over an item; return whether one that waited was dropped for it."""
        with self._changed:
            dropped = len(self._waiting) == self._waiting.maxlen
            self._waiting.append(item)
            self._changed.notify()
            return dropped

    def stop(self, timeout: float = 30.0) -> None:
        """End the thread after the item it works on, dropping those that wait.

        Args:
            timeout: Longest time to wait for it [s].
        """
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._waiting)
                if self._stopped:
                    return
                item = self._waiting.popleft()
            self._work(item)


class OverlappedWorker(Generic[Item, Result]):
    """Work on the newest items in two stages, each in a thread, that overlap.

    The second stage works on one item while the first works on the next. Items leave in the order
    in which they arrived, and one that the first stage has begun is never dropped: it hands its
    result over only when the second stage is free, and then takes up the newest item.

    Where the second stage takes longer than the first, results made at once would be old when it
    takes them. The first stage then begins just in time to end when the second is expected to,
    judging by the time that each took last. The rate is that of the slower stage alone, and an
    item's age is the time of both stages, as without the overlap.

    Args:
        first: Makes a result of an item, or None for nothing to hand on; must not raise.
        second: Handles one result; must not raise.
        name: Of the threads.
        overlap: Asked before each item; False has the first stage wait for the second.
    """

    def __init__(
        self,
        first: Callable[[Item], Result | None],
        second: Callable[[Result], None],
        name: str,
        overlap: Callable[[], bool],
    ) -> None:
        self._overlap = overlap
        self._first, self._second = first, second
        self._changed = threading.Condition()
        # The newest item of each stream, in the order in which the streams began to wait.
        self._waiting: dict[Hashable, Item] = {}
        # The result handed over, None for none.
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

    def submit(self, item: Item, stream: Hashable = None) -> bool:
        """Hand over an item; return whether one of its stream that waited was dropped for it.

        Streams take turns: the next item is the newest of the stream that has waited longest.
        """
        with self._changed:
            dropped = stream in self._waiting
            self._waiting[stream] = item  # one that waited leaves its place to this one
            self._changed.notify_all()
            return dropped

    def stop(self, timeout: float = 30.0) -> None:
        """End the threads after the items they work on, dropping those that wait.

        Args:
            timeout: Longest time to wait for them [s].
        """
        with self._changed:
            self._stopped = True
            self._waiting.clear()
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
        """Wait for a newest item and the time to begin it; return None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or bool(self._waiting))
            while not self._stopped and not self._second_is_free:
                delay = None
                if self._overlap():
                    begin = self._second_began + self._second_seconds - self._first_seconds
                    delay = begin - time.monotonic()
                    if delay <= 0:
                        break
                self._changed.wait(delay)
            return None if self._stopped else self._waiting.pop(next(iter(self._waiting)))

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
