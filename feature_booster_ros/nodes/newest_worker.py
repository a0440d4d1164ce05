# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A thread that works on the newest items."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestWorker(Generic[Item]):
    """Works in a thread of its own; of the items that come meanwhile the newest wait, in order.

    So a subscription's callback only hands over its message, the executor stays free for services
    and parameters while the work is done, and with a ``capacity`` of 1 the item taken up next is
    the newest there is, however long the last one took. A queue of that depth in the middleware,
    with the work done in the callback, would give the second but not the first, and could not count
    what it drops.

    Args:
        work: handles one item; must not raise.
        name: of the thread.
        capacity: items that wait at most; one more, and the oldest of them is dropped. Where each
            item builds on the last, a few bridge one that takes long.
    """

    def __init__(self, work: Callable[[Item], None], name: str, capacity: int = 1) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._waiting: collections.deque[Item] = collections.deque(maxlen=capacity)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> bool:
        """Hands over an item; whether one that waited was dropped for it."""
        with self._changed:
            dropped = len(self._waiting) == self._waiting.maxlen
            self._waiting.append(item)
            self._changed.notify()
            return dropped

    def stop(self, timeout: float = 30.0) -> None:
        """Ends the thread after the item it works on, forgetting those that wait.

        Args:
            timeout: seconds to wait for it at most.
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
