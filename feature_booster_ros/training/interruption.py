# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C at a moment of one's own choice."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class StopRequest:
    """While entered, the first SIGINT or SIGTERM sets ``asked``; a second interrupts at once, as it
    would without. ``torchrun`` passes the terminal's Ctrl-C on as SIGTERM.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # only there can it be changed
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
