# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Results of benchmark live at each rate, as text, JSON and a plot."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feature_booster_ros.benchmark.machine import describe_machine, machine_text
from feature_booster_ros.evaluation.output import add_title, format_table, new_figure

_TOPICS = ("features", "matches", "odometry")
# Share of the frames sent that have to arrive for a rate to count as sustained.
_MIN_RECEIVED = 0.95
# Share of the wanted rate below which the player limits.
_MIN_SENT = 0.95
# Factor by which the latency grows during a measurement, above which it has no bound.
_GROWTH = 2.0


@dataclass(frozen=True)
class Stream:
    """Messages of one topic for the frames that were sent.

    Attributes:
        received: Number of frames whose message arrived.
        dropped: Number of the other frames.
        median: Median latency from the image's stamp to the arrival in milliseconds, or None
            without a message.
        high: 95th percentile of the same.
        grows: Whether the latency at the end is far above that at the beginning.
    """

    received: int
    dropped: int
    median: float | None
    high: float | None
    grows: bool

    @property
    def is_sustained(self) -> bool:
        """Whether nearly all messages arrived, and the latency has a bound."""
        sent = self.received + self.dropped
        return sent > 0 and self.received >= _MIN_RECEIVED * sent and not self.grows

    @classmethod
    def of(cls, sent: Sequence[int], arrivals: Mapping[int, int]) -> Stream:
        """Judge one topic.

        Args:
            sent: Stamps of the frames in nanoseconds, in order.
            arrivals: Time of arrival of the topic's message by the stamp, on the same clock.
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
    """Result at one rate.

    Attributes:
        rate: Rate that the player was set to, in Hz.
        sent_rate: Rate that it played at, in Hz.
        sent: Number of frames played.
        features: Arrival of the features.
        matches: Arrival of the matches; None without matcher_node.
        odometry: Arrival of the poses; None without odometry_node.
        stages: Milliseconds for a frame by node and stage, from /diagnostics.
        own_share: Share of the booster's time for a frame that is neither extraction nor network;
            None if the node reported no times.
        processor_seconds: Processor time of each process within `seconds`.
        seconds: Duration of the measurement.
    """

    rate: float
    sent_rate: float
    sent: int
    features: Stream
    matches: Stream | None
    odometry: Stream | None
    stages: dict[str, dict[str, float]]
    own_share: float | None
    processor_seconds: dict[str, float]
    seconds: float

    @property
    def is_player_slow(self) -> bool:
        """Whether the player did not reach the rate."""
        return self.sent_rate < _MIN_SENT * self.rate

    @property
    def verdict(self) -> str:
        """What limits at this rate, in a few words."""
        if self.is_player_slow:
            return "the player is too slow"
        if not self.features.is_sustained:
            return "saturated"
        slow = [topic for topic in ("matches", "odometry") if not _keeps_up(getattr(self, topic))]
        return f"{' and '.join(slow)} saturated" if slow else "sustained"


def _keeps_up(stream: Stream | None) -> bool:
    return stream is None or stream.is_sustained


def own_share(stages: Mapping[str, float]) -> float | None:
    """Return the share of the booster's time that is neither extraction nor network."""
    work = [stages.get("extract", 0.0), stages.get("boost", 0.0)]
    others = [time for stage, time in stages.items() if stage not in ("extract", "boost", "total")]
    total = stages.get("total", sum(work) + sum(others))
    return max(0.0, total - sum(work)) / total if total > 0 else None


def highest_rate(results: Sequence[RateResult], topic: str) -> float | None:
    """Return the highest rate in Hz at which "features", "matches" or "odometry" were sustained."""
    streams = [(result.sent_rate, getattr(result, topic)) for result in results]
    return max((rate for rate, stream in streams if stream and stream.is_sustained), default=None)


def live_text(results: Sequence[RateResult], title: str, others: float | None) -> str:
    """Format tables in Markdown: arrivals, stages of the booster, time of the processes."""
    topics = [topic for topic in _TOPICS if getattr(results[0], topic) is not None]
    parts = [
        f"{machine_text(describe_machine(), others)}\n{title}",
        "# Latency from the image's stamp, milliseconds: median / 95th percentile",
        _latency_table(results, topics),
        "# Stages of booster_node, milliseconds of a frame",
        _stage_table(results),
        "# Processor time, milliseconds of a frame sent (and cores in use)",
        _processor_table(results),
    ]
    for topic in topics:
        rate = highest_rate(results, topic)
        parts.append(f"{topic}: {'no rate' if rate is None else f'{rate:.1f} Hz'} sustained")
    return "\n\n".join(parts)


def write_live(
    folder: Path,
    results: Sequence[RateResult],
    settings: dict[str, Any],
    title: str,
    others: float | None,
    with_plots: bool,
) -> list[Path]:
    """Write ``live.json``, ``live.md`` and, with plots, ``live_latency.png``; return the paths.

    Args:
        folder: Folder to write to, created if missing.
        results: Results of the rates.
        settings: Settings of the run, for ``live.json``.
        title: Title of the tables and the plot.
        others: Mean number of cores that other programs kept busy, or None.
        with_plots: Whether to plot, which takes matplotlib.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "live.json", folder / "live.md"]
    content = {
        "machine": describe_machine(),
        "others": others,
        "settings": settings,
        "rates": [{**dataclasses.asdict(result), "verdict": result.verdict} for result in results],
        "sustained_hz": {topic: highest_rate(results, topic) for topic in _TOPICS},
    }
    written[0].write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    written[1].write_text(live_text(results, title, others) + "\n", encoding="utf-8")
    if with_plots:
        written.append(folder / "live_latency.png")
        _plot(written[-1], results, title)
    return written


def _latency_table(results: Sequence[RateResult], topics: Sequence[str]) -> str:
    header = ["Hz asked for", "Hz sent", "frames"]
    for topic in topics:
        header += [f"to {topic}", "dropped"]
    rows = []
    for result in results:
        row = [f"{result.rate:g}", f"{result.sent_rate:.1f}", str(result.sent)]
        for topic in topics:
            stream: Stream = getattr(result, topic)
            latency = "" if stream.median is None else f"{stream.median:.1f} / {stream.high:.1f}"
            row += [
                latency,
                f"{stream.dropped} ({100 * stream.dropped / max(1, result.sent):.0f} %)",
            ]
        rows.append([*row, result.verdict])
    return format_table([*header, "verdict"], rows)


def _stage_table(results: Sequence[RateResult]) -> str:
    stages = list(
        dict.fromkeys(
            stage for result in results for stage in result.stages.get("booster_node", {})
        )
    )
    rows = []
    for result in results:
        times = result.stages.get("booster_node", {})
        share = "" if result.own_share is None else f"{100 * result.own_share:.1f} %"
        cells = [f"{times[stage]:.2f}" if stage in times else "" for stage in stages]
        rows.append([f"{result.rate:g}", *cells, share])
    return format_table(["Hz asked for", *stages, "neither extract nor boost"], rows)


def _processor_table(results: Sequence[RateResult]) -> str:
    processes = list(results[0].processor_seconds)
    rows = [
        [
            f"{result.rate:g}",
            *(
                f"{1000 * taken / max(1, result.sent):.1f} ({taken / result.seconds:.2f})"
                for taken in (result.processor_seconds[name] for name in processes)
            ),
        ]
        for result in results
    ]
    return format_table(["Hz asked for", *processes], rows)


def _plot(path: Path, results: Sequence[RateResult], title: str) -> None:
    figure = new_figure(6.5, 4.2)
    axes = figure.subplots()
    for color, topic in enumerate(_TOPICS):
        points = [
            (result.sent_rate, stream.median, stream.high)
            for result in results
            if (stream := getattr(result, topic)) is not None and stream.median is not None
        ]
        if points:
            rates, medians, highs = zip(*points, strict=True)
            axes.plot(rates, medians, "o-", color=f"C{color}", label=f"{topic}, median")
            axes.plot(rates, highs, "^--", color=f"C{color}", label=f"{topic}, 95th percentile")
    axes.set_xlabel("frames sent per second")
    axes.set_ylabel("latency from the image's stamp in ms")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    add_title(figure, title)
    figure.savefig(path, dpi=120)
