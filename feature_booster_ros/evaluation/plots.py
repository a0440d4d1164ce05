# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks as pictures, by matplotlib, which is not needed for anything else here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import install_extra
from .benchmark import Benchmark
from .metrics import MMA_THRESHOLDS
from .relative_pose import POSE_THRESHOLDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DASHES = ("-", "--", "-.", ":")


def check_matplotlib() -> None:
    """Raises ValueError unless matplotlib is installed."""
    new_figure(1, 1)


def plot_matching_accuracy(path: Path, benchmark: Benchmark) -> None:
    """Plot every method's mean matching accuracy over the pixels, one panel a subset (PNG)."""
    subsets = list(benchmark.scores[0].matching)
    figure = new_figure(2.5 + 3.6 * len(subsets), 4.2)
    dashes = _dash_of_detectors(benchmark)
    for axes, subset in zip(
        figure.subplots(1, len(subsets), sharey=True, squeeze=False)[0], subsets, strict=True
    ):
        for score in benchmark.scores:
            curve = [100 * share for share in score.matching[subset].curve]
            axes.plot(MMA_THRESHOLDS, curve, dashes[score.detector], label=score.method)
        axes.set_title(subset, fontsize=9)
        axes.set_xlabel("threshold in pixels")
        axes.set_xticks(MMA_THRESHOLDS)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("mean matching accuracy in %")
    figure.axes[0].set_ylim(0, 100)
    figure.axes[-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    figure.suptitle(benchmark.title, fontsize=9)
    figure.savefig(path, dpi=120)


def plot_pose_auc(path: Path, benchmarks: Sequence[Benchmark]) -> None:
    """Plot every method's pose AUC at each threshold as bars, one panel a benchmark (PNG).

    A method without a number has no bar, but says so in its place.
    """
    figure = new_figure(8, 0.8 + 2.8 * len(benchmarks))
    for axes, benchmark in zip(
        figure.subplots(len(benchmarks), 1, squeeze=False)[:, 0], benchmarks, strict=True
    ):
        width = 0.85 / len(benchmark.scores)
        for number, score in enumerate(benchmark.scores):
            places = [group + number * width for group in range(len(POSE_THRESHOLDS))]
            shares = [score.pose.auc[limit] if score.pose else None for limit in POSE_THRESHOLDS]
            bars = axes.bar(
                places, [100 * (share or 0) for share in shares], width, label=score.method
            )
            labels = ["n/a" if share is None else f"{100 * share:.0f}" for share in shares]
            axes.bar_label(bars, labels, fontsize=7)
        middle = (len(benchmark.scores) - 1) * width / 2
        axes.set_xticks(
            [group + middle for group in range(len(POSE_THRESHOLDS))],
            [f"AUC@{limit} degrees" for limit in POSE_THRESHOLDS],
        )
        axes.set_ylim(0, 105)
        axes.set_ylabel("pose AUC in %")
        axes.set_title(benchmark.title, fontsize=8)
        axes.grid(alpha=0.3, axis="y")
    figure.axes[0].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    figure.savefig(path, dpi=120)


def _dash_of_detectors(benchmark: Benchmark) -> dict[str, str]:
    """A line style for each detector: only methods of one share their keypoints."""
    detectors = dict.fromkeys(score.detector for score in benchmark.scores)
    return {name: _DASHES[number % len(_DASHES)] for number, name in enumerate(detectors)}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, which asks for no display."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError(
            f"plots need matplotlib: {install_extra('plots')}; or leave --output out"
        ) from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
