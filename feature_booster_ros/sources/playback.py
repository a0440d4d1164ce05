# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of a source, once or over and over, with stamps that keep rising."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ..stamps import NANOSECONDS
from .frame import Frame
from .source import Source

# Where the record has no rate, passes follow one another as at this one (Hz).
USUAL_RATE = 10.0


def play(
    source: Source,
    *,
    start: int = 0,
    step: int = 1,
    count: int | None = None,
    again: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Frame, int]]:
    """Play a source frame by frame, as fast as they are taken.

    Args:
        source: What to play.
        start, step, count: Frames of each pass, as `Source.frames` takes them.
        again: Asked at the end of each pass whether another one follows.

    Yields:
        A frame, and its stamp in nanoseconds: the recorded one in the first pass; each further
        pass goes on one frame distance after the end of the one before.

    Raises:
        ValueError: As `Source.frames`.
    """
    distance_ns = round(step * NANOSECONDS / (source.rate or USUAL_RATE))
    offset_ns = 0
    while True:
        oldest_ns, newest_ns = math.inf, -math.inf
        for frame in source.frames(start, step, count):
            oldest_ns, newest_ns = min(oldest_ns, frame.stamp_ns), max(newest_ns, frame.stamp_ns)
            yield frame, frame.stamp_ns + offset_ns
        if not again():
            return
        offset_ns += newest_ns - oldest_ns + distance_ns
