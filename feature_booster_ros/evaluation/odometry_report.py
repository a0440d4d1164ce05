# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Odometry runs as a table, as files in TUM's format, as JSON and as a picture."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .odometry_run import OdometryRun, Poses, evo_trajectory
from .plots import new_figure
from .table import format_table

_HEADER = (
    "method", "frames", "tracked %", "maps", "ATE m", "ATE %", "RPE m", "RPE deg", "inliers",
    "track ms", "95th", "map ms",
)  # fmt: skip


def odometry_text(runs: Sequence[OdometryRun]) -> str:
    """One row a method; n/a where there is no ground truth, or no trajectory to compare with it."""
    rows = []
    for run in runs:
        errors = ["n/a"] * 4
        if run.error is not None:
            errors = [
                f"{run.error.ate:.3f}",
                f"{run.error.ate_share:.2f}",
                f"{run.error.rpe_translation:.3f}",
                f"{run.error.rpe_rotation:.3f}",
            ]
        rows.append([
            run.method,
            str(len(run.estimates)),
            f"{100 * run.tracked:.0f}",
            str(run.maps),
            *errors,
            f"{run.inliers:.0f}",
            f"{run.tracking_milliseconds():.1f}",
            f"{run.tracking_milliseconds(95):.1f}",
            f"{run.mapping_milliseconds:.1f}",
        ])  # fmt: skip
    return format_table(_HEADER, rows)


def write_odometry(
    folder: Path, runs: Sequence[OdometryRun], truth: Poses, title: str
) -> list[Path]:
    """Write odometry.md, odometry.json, a trajectory a method (METHOD.tum: stamp, position,
    quaternion x y z w) with truth.tum, and odometry.png into the folder.
    """
    from evo.tools.file_interface import write_tum_trajectory_file

    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "odometry.md", folder / "odometry.json"]
    written[0].write_text(f"{title}\n\n{odometry_text(runs)}\n", encoding="utf-8")
    written[1].write_text(json.dumps({"title": title, "runs": [_record(run) for run in runs]}))
    named = [(run.method, run.trajectory) for run in runs]
    for name, poses in [*named, ("truth", truth)]:
        if poses:
            written.append(folder / f"{re.sub(r'[^A-Za-z0-9+._-]', '_', name)}.tum")
            write_tum_trajectory_file(str(written[-1]), evo_trajectory(poses))
    written.append(folder / "odometry.png")
    plot_odometry(written[-1], runs, truth, title)
    return written


def plot_odometry(path: Path, runs: Sequence[OdometryRun], truth: Poses, title: str) -> None:
    """Plot the ways from above (x to the right, z ahead) and the errors over time (PNG).

    Without ground truth the ways are as they are, in the odometry's own unit.
    """
    figure = new_figure(12, 5)
    above, over_time = figure.subplots(1, 2)
    if truth:
        positions = np.array([pose[:3, 3] for _, pose in truth])
        above.plot(positions[:, 0], positions[:, 2], "k-", linewidth=3, alpha=0.3, label="truth")
    for run in runs:
        if run.error is not None:
            above.plot(run.error.aligned[:, 0], run.error.aligned[:, 2], label=run.method)
            over_time.plot(run.error.stamps - truth[0][0], run.error.errors, label=run.method)
        elif not truth and run.trajectory:
            positions = np.array([pose[:3, 3] for _, pose in run.trajectory])
            above.plot(positions[:, 0], positions[:, 2], label=run.method)
    above.set_aspect("equal", adjustable="datalim")
    above.set_xlabel("x in metres" if truth else "x in map units")
    above.set_ylabel("z in metres" if truth else "z in map units")
    above.set_title("from above")
    over_time.set_xlabel("time in seconds")
    over_time.set_ylabel("position error in metres")
    over_time.set_title("error after alignment")
    for axes in (above, over_time):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=120)


def _record(run: OdometryRun) -> dict[str, object]:
    record: dict[str, object] = {
        "method": run.method,
        "frames": len(run.estimates),
        "tracked": run.tracked,
        "maps": run.maps,
        "inliers": run.inliers,
        "tracking_ms_median": run.tracking_milliseconds(),
        "tracking_ms_95th": run.tracking_milliseconds(95),
        "mapping_ms_mean": run.mapping_milliseconds,
    }
    if run.error is not None:
        record |= {
            "ate_m": run.error.ate,
            "ate_percent": run.error.ate_share,
            "rpe_m": run.error.rpe_translation,
            "rpe_deg": run.error.rpe_rotation,
        }
    return record
