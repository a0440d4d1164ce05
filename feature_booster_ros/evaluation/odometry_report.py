# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Odometry runs as a table, as files in TUM's format, as JSON and as plots."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .output import add_title, format_table, new_figure
from .trajectories import (
    TRUTH,
    OdometryComparison,
    OdometryRun,
    Poses,
    evo_trajectory,
    positions,
    trajectory_error,
    why_no_error,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def odometry_text(comparison: OdometryComparison) -> str:
    """Format a table with one row per method, and reasons for what could not be computed.

    If COLMAP's trajectory is the reference, the table says so and gives no lengths, as they would
    have no unit. Runs with measured depth are aligned by a rigid motion, and the others by a
    similarity; then the table says which, and gives the scale of the former.
    """
    is_true = comparison.reference_name in ("", TRUTH)
    suffix = "" if is_true else f" against {comparison.reference_name}"
    errors = ["ATE m", "ATE %", "RPE m", "RPE deg"] if is_true else ["ATE %", "RPE deg"]
    if is_true and any(run.is_metric for run in comparison.runs):
        errors = ["aligned by", "scale", *errors]
    header = [
        "method", "frames", "tracked %", "maps", *[name + suffix for name in errors], "inliers",
        "track ms", "95th", "map ms", "all s",
    ]  # fmt: skip
    table = format_table(header, [_row(run, errors) for run in comparison.runs])
    return "\n".join([table, *_reasons(comparison)])


def _reasons(comparison: OdometryComparison) -> list[str]:
    """Return a line for each method that was not compared, or one if there is no reference."""
    if not comparison.reference:
        return ["no ATE and RPE: the source has no ground-truth poses to compare with"]
    reasons = {
        run.method: why_no_error(run.trajectory, comparison.reference)
        for run in comparison.runs
        if run.error is None and run.method != comparison.reference_name
    }
    return [f"{method}: no error, since {reason}" for method, reason in reasons.items()]


def _row(run: OdometryRun, errors: list[str]) -> list[str]:
    found = run.error
    values = {} if found is None else {
        "aligned by": "SE(3)" if run.is_metric else "Sim(3)",
        "scale": f"{found.scale:.3f}" if run.is_metric else "free",
        "ATE m": f"{found.ate:.3f}",
        "ATE %": f"{found.ate_share:.2f}",
        "RPE m": f"{found.rpe_translation:.3f}",
        "RPE deg": f"{found.rpe_rotation:.3f}",
    }  # fmt: skip
    times = _milliseconds(run)
    milliseconds = [f"{value:.1f}" for value in times.values()] if times else ["n/a"] * 3
    return [
        run.method,
        str(len(run.stamps)),
        f"{100 * run.tracked:.0f}",
        str(run.maps),
        *[values.get(name, "n/a") for name in errors],
        f"{run.mean_inliers:.0f}",
        *milliseconds,
        f"{run.seconds:.1f}",
    ]


def write_odometry(folder: Path, comparison: OdometryComparison, title: str) -> list[Path]:
    """Write the comparison as tables, JSON, trajectories and plots.

    Files: odometry.md, odometry.json, METHOD.tum of each method and truth.tum (stamp, position,
    quaternion x y z w), odometry.png (trajectories and errors) and odometry_support.png (landmarks
    over time).

    Args:
        folder: Created if it does not exist.
        comparison: The runs and their reference.
        title: Title of tables and plots.

    Returns:
        The paths of the files.
    """
    from evo.tools.file_interface import write_tum_trajectory_file

    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "odometry.md", folder / "odometry.json"]
    written[0].write_text(f"{title}\n\n{odometry_text(comparison)}\n", encoding="utf-8")
    written[1].write_text(json.dumps(_record(comparison, title)), encoding="utf-8")
    named: list[tuple[str, Poses]] = [(run.method, run.trajectory) for run in comparison.runs]
    for name, poses in [*named, ("truth", comparison.truth)]:
        if poses:
            written.append(folder / f"{re.sub(r'[^A-Za-z0-9+._-]', '_', name)}.tum")
            write_tum_trajectory_file(str(written[-1]), evo_trajectory(poses))
    for name, plot in (("odometry", plot_trajectories), ("odometry_support", plot_support)):
        written.append(folder / f"{name}.png")
        plot(written[-1], comparison, title)
    return written


def _record(comparison: OdometryComparison, title: str) -> dict[str, object]:
    return {
        "title": title,
        "reference": comparison.reference_name or None,
        "runs": [_run_record(run, comparison.reference_name) for run in comparison.runs],
    }


def _run_record(run: OdometryRun, reference_name: str) -> dict[str, object]:
    record: dict[str, object] = {
        "method": run.method,
        "frames": len(run.stamps),
        "tracked": run.tracked,
        "maps": run.maps,
        "is_metric": run.is_metric,
        "inliers": run.mean_inliers,
        "seconds": run.seconds,
        "stamps": run.stamps.tolist(),
        "inliers_of_frames": run.inliers.tolist(),
        "is_tracked": run.is_tracked.tolist(),
    }
    record |= _milliseconds(run)
    if run.error is not None:
        record |= {"ate_percent": run.error.ate_share, "rpe_deg": run.error.rpe_rotation}
        if run.is_metric:
            record["scale"] = run.error.scale
        if reference_name == TRUTH:  # else lengths have no unit
            record |= {"ate_m": run.error.ate, "rpe_m": run.error.rpe_translation}
    return record


def _milliseconds(run: OdometryRun) -> dict[str, float]:
    """Return the times per frame by their names in JSON; empty if frames do not come one by one."""
    if run.tracking_seconds is None or run.mapping_seconds is None:
        return {}
    return {
        "tracking_ms_median": 1e3 * float(np.median(run.tracking_seconds)),
        "tracking_ms_95th": 1e3 * float(np.percentile(run.tracking_seconds, 95)),
        "mapping_ms_mean": 1e3 * float(run.mapping_seconds.mean()),
    }


def plot_trajectories(path: Path, comparison: OdometryComparison, title: str) -> None:
    """Plot the trajectories from above (x to the right, z ahead) and their errors over time (PNG).

    All are aligned as their errors are: to the ground truth, else to COLMAP's trajectory, else to
    that of the run with the most poses. The last is no measure of error, so the second panel is
    left out.
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
    handles, labels = above.get_legend_handles_labels()
    add_title(figure, title, dict(zip(labels, handles, strict=True)))
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
    panels[0].set_ylim(-0.1 * most, 1.1 * most)  # Room for the marks at 0.
    panels[-1].set_xlabel(
        "time in seconds; red cross: lost, black tick: pose without a map, dotted line: new map"
    )
    figure.supylabel("landmarks that support the pose", fontsize=9)
    add_title(figure, title)
    figure.savefig(path, dpi=120)


def _plot_way(
    axes: Axes, trajectory: Poses, stamps: np.ndarray, alignment: np.ndarray, **style: Any
) -> None:
    """Plot the positions, with gaps at frames that have none."""
    if not trajectory:
        return
    aligned = positions(trajectory) @ alignment[:3, :3].T + alignment[:3, 3]
    way = _at(stamps, np.array([stamp for stamp, _ in trajectory]), aligned)
    # A dot at each frame shows frames between two gaps.
    axes.plot(way[:, 0], way[:, 2], marker=".", markersize=3, **style)


def _at(stamps: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the values (N, ...) at all stamps (N,), NaN where they are unknown."""
    result = np.full((len(stamps), *values.shape[1:]), np.nan)
    result[np.isin(stamps, known)] = values
    return result


def _style(number: int, run: OdometryRun) -> dict[str, Any]:
    """Return the style of a run's line: dashed for COLMAP, which has no time per frame."""
    return {
        "color": f"C{number}",
        "label": run.method,
        "linestyle": "--" if run.tracking_seconds is None else "-",
        "linewidth": 1.3,
    }
