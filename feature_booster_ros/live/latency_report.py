# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The results of benchmark live as text, JSON and a picture."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feature_booster_ros.benchmark.machine import describe_machine, machine_text
from feature_booster_ros.evaluation.output import format_table, new_figure

from .latency_results import RateResult, Stream, highest_rate

_TOPICS = ("features", "matches")


def live_text(results: Sequence[RateResult], title: str, others: float | None) -> str:
    """Tables in Markdown: what came through, the booster's stages, the processes' time."""
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
    """Write ``live.json``, ``live.md`` and, with plots, ``live_latency.png``; the paths.

    Args:
        folder: made where it does not exist.
        results: of the rates.
        settings: of the run, for the record.
        title: in words.
        others: cores that other programs kept busy meanwhile, if that is known.
        with_plots: which takes matplotlib.
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
    axes.set_title(title, fontsize=8)
    figure.savefig(path, dpi=120)
