# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A benchmark's report as tables, JSON and plots."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evaluation.output import add_title, format_table, new_figure
from .machine import machine_text
from .memory import PeakMemory
from .network import LIVE_PRODUCTS, PRODUCTS
from .rounds import Comparison, Spread, Way
from .run import Report, Run

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_HEADLINES = {
    "extraction": "Extraction, over OpenCV's SIFT's time (found: features of an image)",
    "network": "Network, arrays in and arrays out, over eager's time (products: only its matrix "
    "products; live products: without those of parts that add nothing)",
    "matching": "Matching N x N, mutual nearest neighbors, over OpenCV's time",
    "frame": "Frame: extract, boost, match with the previous one, verify; over the whole by eager",
}


def benchmark_text(report: Report) -> str:
    """Format all tables in Markdown.

    Ratios are medians of the rounds, with the 10th to 90th percentile.
    """
    settings = report.settings
    width, height = settings["image_size"]
    parts = [
        f"{_machine(report)}\n{settings['source']}, {settings['images']} images of "
        f"{width}x{height}; ratios: median (10th to 90th percentile) of interleaved rounds"
    ]
    for run in report.runs:
        parts += [f"# {run.title}", *_run_tables(run)]
    if report.memory:
        parts += ["# Peak memory of a process in MiB (what the work added)"]
        parts += [_memory_table(report.memory)]
    return "\n\n".join(parts)


def benchmark_json(report: Report) -> dict[str, Any]:
    """Return all numbers for JSON."""
    return dataclasses.asdict(report)


def write_benchmark(folder: Path, report: Report, with_plots: bool) -> list[Path]:
    """Write ``benchmark.json``, ``benchmark.md`` and, with plots, a plot of each stage's cost.

    Args:
        folder: Created if it does not exist.
        report: The report.
        with_plots: Whether to write plots, which needs matplotlib.

    Returns:
        The paths of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "benchmark.json", folder / "benchmark.md"]
    written[0].write_text(json.dumps(benchmark_json(report), indent=1) + "\n", encoding="utf-8")
    written[1].write_text(benchmark_text(report) + "\n", encoding="utf-8")
    if with_plots:
        for stage in ("network", "matching", "frame"):
            path = folder / f"{stage}_cost.png"
            panels = {run.title: run.of(stage) for run in report.runs}
            plot_cost(path, panels, f"{stage}: {_machine(report)}")
            written.append(path)
    return written


def format_ratio(ratio: Spread) -> str:
    """Format a ratio, for example "0.62 (0.60-0.65)"."""
    return f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"


def format_milliseconds(milliseconds: float) -> str:
    """Format milliseconds with three digits, or as a whole number from 100 on."""
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def _machine(report: Report) -> str:
    return machine_text(report.machine, report.others)


def _run_tables(run: Run) -> list[str]:
    parts = []
    for stage, headline in _HEADLINES.items():
        comparisons = run.of(stage)
        if comparisons:
            parts += [f"## {headline}", _comparison_table(comparisons)]
    if run.launches:
        parts += ["## On the GPU, milliseconds of a call", _launches_table(run)]
    return parts


def _comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Format a table with a row for each comparison of one stage.

    A way is missing if the engine cannot run the model's network.
    """
    first = max(comparisons, key=lambda comparison: len(comparison.ways))
    others = [way.name for way in first.ways if way.name != first.baseline]
    notes = _NOTES[first.stage](first)
    header = ["", "features", f"{first.baseline} ms", *others, *(name for name, _ in notes)]
    rows = [
        [
            comparison.subject,
            str(comparison.features),
            format_milliseconds(comparison.way(first.baseline).milliseconds.median),
            *(_of_way(comparison, name, lambda way: format_ratio(way.ratio)) for name in others),
            *(text(comparison) for _, text in notes),
        ]
        for comparison in comparisons
    ]
    return format_table(header, rows)


def _of_way(comparison: Comparison, name: str, text: Callable[[Way], str]) -> str:
    """Return the text of a way, or "" if it is missing."""
    return next((text(way) for way in comparison.ways if way.name == name), "")


_Column = tuple[str, Callable[[Comparison], str]]


def _network_notes(first: Comparison) -> list[_Column]:
    """Return columns of each engine's time over that of the products, and agreement with eager."""
    columns: list[_Column] = []
    for kind in (PRODUCTS, LIVE_PRODUCTS):
        for way in first.ways:
            if f"over_{kind}" in way.notes:
                columns.append((f"{way.name} / {kind}", partial(_note, way.name, f"over_{kind}")))
    for way in first.ways:
        if f"over_{PRODUCTS}" in way.notes and way.name != first.baseline:
            columns.append((f"{way.name} apart from eager", partial(_agreement_text, way.name)))
    return columns


def _note(name: str, note: str, comparison: Comparison) -> str:
    """Return a note as text, or "" if the comparison has none."""
    return _of_way(
        comparison, name, lambda way: f"{way.notes[note]:.2f}" if note in way.notes else ""
    )


def _found_notes(first: Comparison) -> list[_Column]:
    return [
        (f"{way.name} found", partial(_found, way.name))
        for way in first.ways
        if "found" in way.notes
    ]


def _found(name: str, comparison: Comparison) -> str:
    return f"{comparison.way(name).notes['found']:.0f}"


def _matching_notes(first: Comparison) -> list[_Column]:
    return [
        (
            "of OpenCV's matches",
            lambda comparison: f"{100 * comparison.ways[-1].notes['shared']:.2f} %",
        )
    ]


_NOTES: dict[str, Callable[[Comparison], list[_Column]]] = {
    "extraction": _found_notes,
    "network": _network_notes,
    "matching": _matching_notes,
    "frame": _found_notes,
}


def _agreement_text(name: str, comparison: Comparison) -> str:
    def text(way: Way) -> str:
        if "bits_flipped" in way.notes:
            return f"{100 * way.notes['bits_flipped']:.3f} % of bits"
        return f"cosine {way.notes['minimum_cosine']:.6f}"

    return _of_way(comparison, name, text)


def _launches_table(run: Run) -> str:
    header = ["", "features", "engine", "all", "launches (CPU)", "copies", "arithmetic", "kernels"]
    rows = [
        [
            entry.subject,
            str(entry.features),
            entry.engine,
            *(
                f"{value:.3f}"
                for value in (
                    entry.shares.total,
                    entry.shares.launches,
                    entry.shares.copies,
                    entry.shares.arithmetic,
                )
            ),
            f"{entry.shares.kernels:.0f}",
        ]
        for entry in run.launches
    ]
    return format_table(header, rows)


def _memory_table(memory: Sequence[PeakMemory]) -> str:
    """Format a table with a row for each way on each device, a column per number of features."""
    counts = sorted({entry.features for entry in memory})
    rows = []
    for device, stage, subject, way in dict.fromkeys(
        (entry.device, entry.stage, entry.subject, entry.way) for entry in memory
    ):
        entries = {
            entry.features: entry
            for entry in memory
            if (entry.device, entry.stage, entry.subject, entry.way)
            == (device, stage, subject, way)
        }
        rows.append(
            [
                f"{stage}, {subject}, {way}, {device}",
                *(_peak_text(entries[count]) if count in entries else "" for count in counts),
            ]
        )
    return format_table(["", *(f"{count} features" for count in counts)], rows)


def _peak_text(entry: PeakMemory) -> str:
    text = f"{entry.peak:.0f} (+{entry.added:.0f})"
    return text if entry.device_peak is None else f"{text}, GPU {entry.device_peak:.0f}"


_MARKS = "os^vDPX*"


def plot_cost(path: Path, runs: Mapping[str, Sequence[Comparison]], title: str) -> None:
    """Plot milliseconds over features, both on logarithmic axes (PNG).

    A column of panels is a run, a row a subject, a line a way. The bar at a point is the 10th to
    90th percentile of the rounds.
    """
    every = [comparison for comparisons in runs.values() for comparison in comparisons]
    subjects = list(dict.fromkeys(comparison.subject for comparison in every))
    names = list(dict.fromkeys(way.name for comparison in every for way in comparison.ways))
    counts = sorted({comparison.features for comparison in every})
    from matplotlib.ticker import LogLocator

    figure = new_figure(2.6 + 3.8 * len(runs), 0.7 + 3.2 * len(subjects))
    panels = figure.subplots(len(subjects), len(runs), sharex=True, sharey="row", squeeze=False)
    for row, subject in zip(panels, subjects, strict=True):
        for axes, (run, comparisons) in zip(row, runs.items(), strict=True):
            for number, name in enumerate(names):
                points = [
                    (comparison.features, way.milliseconds)
                    for comparison in comparisons
                    if comparison.subject == subject
                    for way in comparison.ways
                    if way.name == name
                ]
                if points:
                    _plot_line(axes, points, number, name)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xticks(counts, [str(count) for count in counts])
            axes.minorticks_off()
            # Ticks at powers of ten alone may all be out of view.
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.set_title(f"{subject}, {run}", fontsize=9)
            axes.grid(alpha=0.3)
        row[0].set_ylabel("milliseconds")
    for axes in panels[-1]:
        axes.set_xlabel("features of an image")
    lines: dict[str, Artist] = {}
    for axes in panels.flat:
        handles, labels = axes.get_legend_handles_labels()
        lines.update(zip(labels, handles, strict=True))
    add_title(figure, title, lines)
    figure.savefig(path, dpi=120)


def _plot_line(axes: Axes, points: Sequence[tuple[int, Spread]], number: int, name: str) -> None:
    times = [time for _, time in points]
    axes.errorbar(
        [count for count, _ in points],
        [time.median for time in times],
        yerr=[
            [time.median - time.low for time in times],
            [time.high - time.median for time in times],
        ],
        color=f"C{number % 10}",
        marker=_MARKS[number % len(_MARKS)],
        markersize=4,
        linewidth=1,
        label=name,
    )
