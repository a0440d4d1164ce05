# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Odometry runs as a table, as files in TUM's format, as JSON and as pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from .odometry_comparison import TRUTH, OdometryComparison, OdometryRun
from .odometry_plots import plot_support, plot_trajectories
from .table import format_table
from .trajectories import Poses, evo_trajectory, why_no_error


def odometry_text(comparison: OdometryComparison) -> str:
    """One row a method; n/a where there is nothing to compare its trajectory with.

    Where COLMAP's trajectory stands in for the truth the table says so, and gives no lengths, as
    they would have no unit.
    """
    is_true = comparison.reference_name in ("", TRUTH)
    suffix = "" if is_true else f" against {comparison.reference_name}"
    errors = ["ATE m", "ATE %", "RPE m", "RPE deg"] if is_true else ["ATE %", "RPE deg"]
    header = [
        "method", "frames", "tracked %", "maps", *[name + suffix for name in errors], "inliers",
        "track ms", "95th", "map ms", "all s",
    ]  # fmt: skip
    table = format_table(header, [_row(run, errors) for run in comparison.runs])
    return "\n".join([table, *_reasons(comparison)])


def _reasons(comparison: OdometryComparison) -> list[str]:
    """Return a line for each method that was not compared, or one where there is no reference."""
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
        "ATE m": f"{found.ate:.3f}",
        "ATE %": f"{found.ate_share:.2f}",
        "RPE m": f"{found.rpe_translation:.3f}",
        "RPE deg": f"{found.rpe_rotation:.3f}",
    }  # fmt: skip
    milliseconds = ["n/a"] * 3
    if run.tracking_seconds is not None:
        milliseconds = [
            f"{1e3 * np.median(run.tracking_seconds):.1f}",
            f"{1e3 * np.percentile(run.tracking_seconds, 95):.1f}",
            f"{1e3 * run.mapping_seconds.mean():.1f}",
        ]
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
    """Write odometry.md, odometry.json, a trajectory a method (METHOD.tum: stamp, position,
    quaternion x y z w) with truth.tum, odometry.png (the ways) and odometry_support.png (landmarks
    over time) into the folder.
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
        "inliers": run.mean_inliers,
        "seconds": run.seconds,
        "stamps": run.stamps.tolist(),
        "inliers_of_frames": run.inliers.tolist(),
        "is_tracked": run.is_tracked.tolist(),
    }
    if run.tracking_seconds is not None:
        record |= {
            "tracking_ms_median": 1e3 * float(np.median(run.tracking_seconds)),
            "tracking_ms_95th": 1e3 * float(np.percentile(run.tracking_seconds, 95)),
            "mapping_ms_mean": 1e3 * float(run.mapping_seconds.mean()),
        }
    if run.error is not None:
        record |= {"ate_percent": run.error.ate_share, "rpe_deg": run.error.rpe_rotation}
        if reference_name == TRUTH:  # else lengths have no unit
            record |= {"ate_m": run.error.ate, "rpe_m": run.error.rpe_translation}
    return record
