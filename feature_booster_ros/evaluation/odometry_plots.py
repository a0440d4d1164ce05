# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Odometry runs as pictures: where they went, and what held them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .odometry_comparison import TRUTH, OdometryComparison, OdometryRun
from .plots import new_figure
from .trajectories import Poses, positions, trajectory_error


def plot_trajectories(path: Path, comparison: OdometryComparison, title: str) -> None:
    """Plot the ways from above (x to the right, z ahead) and the errors over time (PNG).

    All are aligned by a similarity: to the truth; without it to COLMAP's; without that to the run
    with the most poses, which is no measure of error, so that there is no second panel.
    """
    name, reference = comparison.reference_name, comparison.reference
    if not name:
        longest = max(comparison.runs, key=lambda run: len(run.trajectory))
        name, reference = longest.method, longest.trajectory
    has_errors = any(run.error is not None for run in comparison.runs)
    figure = new_figure(13 if has_errors else 8, 5.5)
    panels = figure.subplots(1, 1 + has_errors, squeeze=False)[0]
    above = panels[0]
    if comparison.reference_name:
        stamps = np.array([stamp for stamp, _ in reference])
        _plot_way(above, reference, stamps, np.eye(4), label=name, color="black", linewidth=4,
                  alpha=0.3)  # fmt: skip
    for number, run in enumerate(comparison.runs):
        if run.method == comparison.reference_name:
            continue
        style = _style(number, run)
        error = run.error or trajectory_error(run.trajectory, reference)
        if error is None:
            continue
        _plot_way(above, run.trajectory, run.stamps, error.alignment, **style)
        if run.error is not None:
            start = run.stamps[0]
            values = _at(run.stamps, run.error.stamps, run.error.errors)
            panels[1].plot(run.stamps - start, values, **style)
    unit = "meters" if name == TRUTH else f"units of {name}"
    above.set_aspect("equal", adjustable="datalim")
    above.set_xlabel(f"x in {unit}")
    above.set_ylabel(f"z in {unit}")
    above.set_title("from above" if name == TRUTH else f"from above, aligned to {name}")
    if has_errors:
        panels[1].set_xlabel("time in seconds")
        panels[1].set_ylabel(f"position error in {unit}")
        suffix = "" if name == TRUTH else f" against {name}"
        panels[1].set_title(f"error after alignment{suffix}")
        panels[1].set_ylim(bottom=0)
    for axes in panels:
        axes.grid(alpha=0.3)
    if above.get_legend_handles_labels()[0]:
        figure.legend(*above.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=120)


def plot_support(path: Path, comparison: OdometryComparison, title: str) -> None:
    """Plot the landmarks that support each frame's pose over time, one panel a method (PNG).

    Lost frames are marked by crosses, and those at which a new map began by lines.
    """
    runs = comparison.runs
    figure = new_figure(10, 0.8 + 1.5 * len(runs))
    panels = figure.subplots(len(runs), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for number, (axes, run) in enumerate(zip(panels, runs, strict=True)):
        times, style = run.stamps - run.stamps[0], _style(number, run)
        supported = run.inliers > 0
        axes.plot(times, np.where(supported, run.inliers, np.nan), marker=".", **style)
        for begun in 1 + np.flatnonzero(np.diff(run.map_numbers)):
            axes.axvline(times[begun], color="black", linestyle=":", linewidth=1.2)
        unmapped = run.is_tracked & ~supported
        axes.plot(times[unmapped], np.zeros(unmapped.sum()), "k|", markersize=7)
        lost = ~run.is_tracked
        axes.plot(times[lost], np.zeros(lost.sum()), "rx", markersize=5)
        axes.set_title(
            f"{run.method}: {100 * run.tracked:.0f} % of the frames tracked, mean "
            f"{run.mean_inliers:.0f}, {run.maps} map{'s' * (run.maps > 1)}",
            fontsize=8, loc="left",
        )  # fmt: skip
        axes.grid(alpha=0.3)
    most = max(1, *(run.inliers.max() for run in runs))
    panels[0].set_ylim(-0.1 * most, 1.1 * most)  # the marks at 0 want room
    panels[-1].set_xlabel(
        "time in seconds; red cross: lost, black tick: pose without a map, dotted line: new map"
    )
    figure.supylabel("landmarks that support the pose", fontsize=9)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=120)


def _plot_way(
    axes: object, trajectory: Poses, stamps: np.ndarray, alignment: np.ndarray, **style: object
) -> None:
    """The positions, with gaps where frames have none."""
    if not trajectory:
        return
    aligned = positions(trajectory) @ alignment[:3, :3].T + alignment[:3, 3]
    way = _at(stamps, np.array([stamp for stamp, _ in trajectory]), aligned)
    # A dot at each frame, so that one between two gaps is seen.
    axes.plot(way[:, 0], way[:, 2], marker=".", markersize=3, **style)


def _at(stamps: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values (N, ...) at all stamps (N,), NaN where they are not known."""
    result = np.full((len(stamps), *values.shape[1:]), np.nan)
    result[np.isin(stamps, known)] = values
    return result


def _style(number: int, run: OdometryRun) -> dict[str, object]:
    """COLMAP, which has no time of its own for each frame, is dashed."""
    return {
        "color": f"C{number}",
        "label": run.method,
        "linestyle": "--" if run.tracking_seconds is None else "-",
        "linewidth": 1.3,
    }
