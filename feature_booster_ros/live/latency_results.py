# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What benchmark live finds at each rate, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEAST_RECEIVED = 0.95
"""Share of the frames sent that have to come through for a rate to count as sustained."""
_LEAST_SENT = 0.95  # of the rate asked for, below which the player is what limits
_GROWTH = 2.0  # of the latency within a rate's time, above which it has no bound


@dataclass(frozen=True)
class Stream:
    """What came of the frames that were sent.

    Attributes:
        received: frames.
        dropped: frames, the rest of those sent.
        median, high: latency from the image's stamp to the arrival, its median and 95th percentile
            in milliseconds; None where nothing came.
        grows: whether the latency at the end is far above that at the beginning.
    """

    received: int
    dropped: int
    median: float | None
    high: float | None
    grows: bool

    @property
    def is_sustained(self) -> bool:
        """Whether nearly all came through, and the latency has a bound."""
        sent = self.received + self.dropped
        return sent > 0 and self.received >= LEAST_RECEIVED * sent and not self.grows

    @classmethod
    def of(cls, sent: Sequence[int], arrivals: Mapping[int, int]) -> Stream:
        """Judge one topic.

        Args:
            sent: stamps of the frames, nanoseconds, in their order.
            arrivals: when the topic's message came by the stamp, nanoseconds of the same clock.
        """
        latencies = np.array([arrivals[stamp] - stamp for stamp in sent if stamp in arrivals]) / 1e6
        dropped = len(sent) - len(latencies)
        if not len(latencies):
            return cls(0, dropped, None, None, False)
        third = max(1, len(latencies) // 3)
        first, last = np.median(latencies[:third]), np.median(latencies[-third:])
        period = (sent[-1] - sent[0]) / 1e6 / max(1, len(sent) - 1)
        return cls(
            len(latencies),
            dropped,
            float(np.median(latencies)),
            float(np.percentile(latencies, 95)),
            bool(last > _GROWTH * first and last - first > period),
        )


@dataclass(frozen=True)
class RateResult:
    """One rate.

    Attributes:
        rate: asked for, Hz.
        sent_rate: played, Hz.
        sent: frames.
        features, matches: what came of them; matches None without matcher_node.
        stages: milliseconds of a frame by stage, as each node's /diagnostics has them.
        own_share: of the booster's time for a frame, what is neither extraction nor network; None
            where the node told no times.
        processor_seconds: of each process within `seconds`.
        seconds: of the measurement.
    """

    rate: float
    sent_rate: float
    sent: int
    features: Stream
    matches: Stream | None
    stages: dict[str, dict[str, float]]
    own_share: float | None
    processor_seconds: dict[str, float]
    seconds: float

    @property
    def is_player_slow(self) -> bool:
        """Whether the player did not reach the rate."""
        return self.sent_rate < _LEAST_SENT * self.rate

    @property
    def verdict(self) -> str:
        """In words."""
        if self.is_player_slow:
            return "the player is too slow"
        if not self.features.is_sustained:
            return "saturated"
        if self.matches is not None and not self.matches.is_sustained:
            return "matches saturated"
        return "sustained"


def own_share(stages: Mapping[str, float]) -> float | None:
    """Share of the booster's time for a frame that is neither extraction nor network."""
    work = [stages.get("extract", 0.0), stages.get("boost", 0.0)]
    others = [time for stage, time in stages.items() if stage not in ("extract", "boost", "total")]
    total = stages.get("total", sum(work) + sum(others))
    return max(0.0, total - sum(work)) / total if total > 0 else None


def highest_rate(results: Sequence[RateResult], topic: str) -> float | None:
    """Hz of the fastest playing at which `topic`, "features" or "matches", was sustained."""
    streams = [(result.sent_rate, getattr(result, topic)) for result in results]
    return max((rate for rate, stream in streams if stream and stream.is_sustained), default=None)
