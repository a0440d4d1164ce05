# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Times as they stand in data sets, in integer nanoseconds.

A float64 of seconds since 1970 keeps no more than 0.2 microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation

import numpy as np

NANOSECONDS = 1_000_000_000


def parse_seconds(text: str) -> int:
    """Nanoseconds of a decimal number of seconds, exactly.

    Raises:
        ValueError: The text is not a finite number.
    """
    try:
        seconds = Decimal(text.strip())
        return int((seconds * NANOSECONDS).to_integral_value())
    except (InvalidOperation, OverflowError, ValueError):
        raise ValueError(f"{text.strip()!r} is not a time in seconds") from None


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
