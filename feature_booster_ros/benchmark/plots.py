# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cost against features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..evaluation.plots import new_figure
from .rounds import Comparison, Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = "os^vDPX*"


def plot_cost(path: Path, runs: Mapping[str, Sequence[Comparison]], title: str) -> None:
    """Plot milliseconds over features, both by powers: a column of panels for each run, a row for
    each subject, a line for each way (PNG).

    The bar at a point is the 10th to 90th percentile of the rounds.
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
            # A decade may have no power of ten in sight.
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.set_title(f"{subject}, {run}", fontsize=9)
            axes.grid(alpha=0.3)
        row[0].set_ylabel("milliseconds")
    for axes in panels[-1]:
        axes.set_xlabel("features of an image")
    lines = {}
    for axes in panels.flat:
        handles, labels = axes.get_legend_handles_labels()
        lines.update(zip(labels, handles, strict=True))
    figure.legend(lines.values(), lines, fontsize=8, loc="outside right upper")
    figure.suptitle(title, fontsize=8)
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
