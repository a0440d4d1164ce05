# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Timing in interleaved rounds: a computer's clock and load vary from second to second, so that
only times taken in turns can be compared.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

LEAST_ROUNDS = 3
# Shorter calls are repeated within a round: the clock's resolution and one interrupt would show.
_LEAST_SAMPLE = 0.002  # seconds
# What takes so long once is hardly slower than the next time.
_LONG = 0.3  # seconds


@dataclass(frozen=True)
class Limits:
    """How long to measure.

    Attributes:
        rounds: of a comparison at most, at least 1.
        seconds: after which no further round of it begins, once there are ``LEAST_ROUNDS``.
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
        """The spread of at least one value."""
        low, median, high = np.percentile(np.asarray(values, float), (10, 50, 90))
        return cls(float(median), float(low), float(high))


@dataclass(frozen=True)
class Way:
    """One of the ways to do the same, as timed.

    Attributes:
        name: as it stands in tables.
        milliseconds: of one call.
        ratio: its time over the baseline's, round by round.
        notes: what else was found out about it, such as how far its results are from the
            baseline's.
    """

    name: str
    milliseconds: Spread
    ratio: Spread
    notes: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Several ways to do the same, timed in turns.

    Attributes:
        stage: "extraction", "network", "matching" or "frame".
        subject: what was worked on, such as the model's name.
        features: of an image, as asked for.
        baseline: name of the way that the ratios are to.
        rounds: how many there were.
        ways: at least the baseline.
    """

    stage: str
    subject: str
    features: int
    baseline: str
    rounds: int
    ways: tuple[Way, ...]

    def way(self, name: str) -> Way:
        """The way of that name; KeyError if there is none."""
        for way in self.ways:
            if way.name == name:
                return way
        raise KeyError(name)


def time_rounds(
    ways: Mapping[str, Callable[[int], object]], limits: Limits
) -> dict[str, np.ndarray]:
    """Seconds (R,) of one call of each way in each of R rounds.

    Args:
        ways: called with the number of the round, which begin at 0. Each is called once or twice
            before, as of round 0, to warm up. One that works on a GPU has to wait for it itself.
        limits: of the rounds.
    """
    calls = {name: _calls_of_a_sample(way) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        for number in range(limits.rounds):
            if number >= LEAST_ROUNDS and time.perf_counter() - started > limits.seconds:
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
    """The comparison that rounds make, as :func:`time_rounds` gives them."""
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
    """Also warms up: a call that takes long is called once, any other twice."""
    for _ in range(2):
        begun = time.perf_counter()
        way(0)
        taken = time.perf_counter() - begun
        if taken > _LONG:
            break
    return max(1, math.ceil(_LEAST_SAMPLE / max(taken, 1e-6)))
