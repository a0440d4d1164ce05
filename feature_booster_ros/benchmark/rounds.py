# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Timing in interleaved rounds.

A computer's clock rate and load vary from second to second, so only times taken in turns compare.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

MIN_ROUNDS = 3
"""Fewest rounds of a comparison, however long they take."""

# Shortest measurement of a way in a round [s]. Shorter calls are repeated, or the resolution of the
# clock and single interrupts would show.
_MIN_SAMPLE = 0.002
# A first call that takes this long [s] is hardly slower than the next, and is the only warm-up.
_LONG_CALL = 0.3


@dataclass(frozen=True)
class Limits:
    """Limits of a comparison.

    Attributes:
        rounds: Most rounds, at least 1.
        seconds: Time after which no round begins, once there are ``MIN_ROUNDS``.
    """

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Spread:
    """Median of the rounds, with their 10th and 90th percentile."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> Spread:
        """Return the spread of at least one value."""
        low, median, high = np.percentile(np.asarray(values, float), (10, 50, 90))
        return cls(float(median), float(low), float(high))


@dataclass(frozen=True)
class Way:
    """Times of one of several ways to do the same work.

    Attributes:
        name: Name in tables.
        milliseconds: Time of one call.
        ratio: Its time over the baseline's, round by round.
        notes: Other results by name, such as how far they are from the baseline's.
    """

    name: str
    milliseconds: Spread
    ratio: Spread
    notes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Several ways to do the same work, timed in turns.

    Attributes:
        stage: "extraction", "network", "matching" or "frame".
        subject: What the ways work on, such as the model's name.
        features: Requested features of an image.
        baseline: Name of the way that the ratios refer to.
        rounds: Number of rounds.
        ways: The ways; at least the baseline.
    """

    stage: str
    subject: str
    features: int
    baseline: str
    rounds: int
    ways: tuple[Way, ...]

    def way(self, name: str) -> Way:
        """Return the way of that name.

        Raises:
            KeyError: There is none.
        """
        for way in self.ways:
            if way.name == name:
                return way
        raise KeyError(name)


def time_rounds(
    ways: Mapping[str, Callable[[int], object]], limits: Limits
) -> dict[str, np.ndarray]:
    """Return the seconds (R,) of one call of each way in each of R rounds.

    Args:
        ways: Functions of the number of the round, from 0. Each is called once or twice for round 0
            before, to warm up. One that works on a GPU must wait for it.
        limits: Limits of the rounds.
    """
    calls = {name: _calls_of_a_sample(way) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        for number in range(limits.rounds):
            if number >= MIN_ROUNDS and time.perf_counter() - started > limits.seconds:
                break
            for name, way in ways.items():
                begun = time.perf_counter()
                for _ in range(calls[name]):
                    way(number)
                seconds[name].append((time.perf_counter() - begun) / calls[name])
    finally:
        gc.enable()
    return {name: np.array(taken) for name, taken in seconds.items()}


def compare(
    stage: str,
    subject: str,
    features: int,
    seconds: Mapping[str, np.ndarray],
    baseline: str,
    notes: Mapping[str, dict[str, float]] | None = None,
) -> Comparison:
    """Make a comparison of the seconds that :func:`time_rounds` returns."""
    ways = tuple(
        Way(
            name,
            Spread.of(1000 * taken),
            Spread.of(taken / seconds[baseline]),
            dict((notes or {}).get(name, {})),
        )
        for name, taken in seconds.items()
    )
    return Comparison(stage, subject, features, baseline, len(seconds[baseline]), ways)


def _calls_of_a_sample(way: Callable[[int], object]) -> int:
    """Return the number of calls per round, and warm up: a long call once, any other twice."""
    for _ in range(2):
        begun = time.perf_counter()
        way(0)
        taken = time.perf_counter() - begun
        if taken > _LONG_CALL:
            break
    return max(1, math.ceil(_MIN_SAMPLE / max(taken, 1e-6)))
