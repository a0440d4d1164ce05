# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Progress of long work: a bar on a terminal, and plain lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from tqdm import tqdm

LOG_INTERVAL = 30.0
"""Time between two lines of a log [s]."""
_LINE = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


class Progress(tqdm):
    """A tqdm bar; where the stream is not a terminal, a line at the start, the end and between.

    Args:
        iterable: What is worked through, or None if ``update`` is called instead.
        desc: Name of the work.
        total: Number of items, or None for the length of the iterable.
        file: Stream to write to, by default standard error.
        options: Other arguments of tqdm.
    """

    def __init__(
        self,
        iterable: Iterable[Any] | None = None,
        desc: str | None = None,
        total: int | None = None,
        file: TextIO | None = None,
        **options: Any,
    ) -> None:
        stream = sys.stderr if file is None else file
        if stream.isatty():
            super().__init__(iterable, desc, total, file=stream, **options)
            return
        plain = {"mininterval": LOG_INTERVAL, "maxinterval": LOG_INTERVAL, "leave": True}
        options = {**options, **plain, "bar_format": _LINE}
        super().__init__(iterable, desc, total, file=_Lines(stream), **options)


class _Lines:
    """A stream that writes each state of a bar, which begins with a carriage return, as a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write a state of the bar without its padding; nothing if it is empty."""
        if text.strip():
            self._stream.write(text.strip() + "\n")

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()
