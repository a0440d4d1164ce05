# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A thread that always works on the newest item."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestWorker(Generic[Item]):
    """Works in a thread of its own; an item that comes meanwhile replaces the one that waits.

    So a subscription's callback only hands over its message, the executor stays free for services
    and parameters while the work is done, and the item taken up next is the newest there is,
    however long the last one took. A queue of depth 1 in the middleware, with the work done in the
    callback, would give the second but not the first, and could not count what it drops.

    Args:
        work: handles one item; must not raise.
        name: of the thread.
    """

    def __init__(self, work: Callable[[Item], None], name: str) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._waiting: Item | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> bool:
        """Hands over an item; whether one that waited was dropped for it."""
        with self._changed:
            dropped = self._waiting is not None
            self._waiting = item
            self._changed.notify()
            return dropped

    def stop(self, timeout: float = 30.0) -> None:
        """Ends the thread after the item it works on, forgetting the one that waits.

        Args:
            timeout: seconds to wait for it at most.
        """
        with self._changed:
            self._stopped = True
            self._waiting = None
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._waiting is not None)
                if self._stopped:
                    return
                item, self._waiting = self._waiting, None
            self._work(item)
