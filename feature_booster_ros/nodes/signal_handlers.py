# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keep a library from taking over the process's signals."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_LARGEST_SIGACTION = 512  # bytes; glibc's struct has 152


@contextmanager
def keep_handler(number: int) -> Iterator[None]:
    """Puts back, at the end, whatever handled the signal before.

    rclpy's handlers are C++'s, of which Python's signal module knows nothing, hence sigaction.
    """
    action = ctypes.create_string_buffer(_LARGEST_SIGACTION)
    libc = ctypes.CDLL(None)
    libc.sigaction(int(number), None, action)
    try:
        yield
    finally:
        libc.sigaction(int(number), action, None)
