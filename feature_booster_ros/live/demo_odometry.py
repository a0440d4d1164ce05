# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's odometry in meters, by the depth of its source, beside the truth."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping

import numpy as np

from feature_booster_ros.errors import install_extra
from feature_booster_ros.evaluation.trajectories import (
    TRUTH,
    OdometryComparison,
    OdometryRun,
    Poses,
    trajectory_error,
)
from feature_booster_ros.sources.source import Frame, Source


def choose_depth_input(source: Source) -> str:
    """Return booster_node's parameter ``depth_input`` for a source."""
    return "aligned" if source.has_depth else "stereo" if source.has_right else "none"


def why_no_odometry(source: Source) -> str:
    """Return what the odometry of a source and its errors lack, and how to get it, or ""."""
    if source.camera is None:
        return (
            "the camera's intrinsics are unknown: give them as SOURCE,camera=fx,fy,cx,cy, and "
            "depth_scale= too where a TUM folder's depth is not in 1/5000 m"
        )
    missing = [name for name in ("poselib", "evo") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} missing: {install_extra('odometry')}" if missing else ""


def true_poses(frames: Iterable[Frame]) -> Poses:
    """Return the stamps and poses of the frames that have a pose."""
    return [(frame.stamp, frame.pose) for frame in frames if frame.pose is not None]


def compare_odometry(
    poses: Mapping[str, Mapping[int, np.ndarray]], stamps_ns: Iterable[int], truth: Poses
) -> OdometryComparison:
    """Return the recorded poses of several pipelines as runs with errors.

    Args:
        poses: Poses (4, 4) by stamp [ns], in meters, by the pipeline's label.
        stamps_ns: Of all frames, in order.
        truth: Poses of the camera; empty if unknown.
    """
    stamps = list(stamps_ns)
    runs = []
    for label, recorded in poses.items():
        trajectory = [(stamp * 1e-9, recorded[stamp]) for stamp in stamps if stamp in recorded]
        run = OdometryRun(
            method=label,
            trajectory=trajectory,
            stamps=np.array([stamp * 1e-9 for stamp in stamps]),
            is_tracked=np.array([stamp in recorded for stamp in stamps]),
            inliers=np.zeros(len(stamps), int),
            map_numbers=np.zeros(len(stamps), int),
            tracking_seconds=np.zeros(len(stamps)),
            mapping_seconds=None,
            seconds=0.0,
            is_metric=True,
        )
        run.error = trajectory_error(trajectory, truth, is_metric=True)
        runs.append(run)
    return OdometryComparison(runs, truth, truth, TRUTH if truth else "")


def odometry_rows(comparison: OdometryComparison) -> list[dict[str, object]]:
    """Return a row of the demo's table for each run."""
    rows = []
    for run in comparison.runs:
        error = run.error
        rows.append(
            {
                "descriptors": run.method,
                "frames": len(run.stamps),
                "tracked": f"{100 * run.tracked:.0f} %",
                "error": "?" if error is None else f"{100 * error.ate:.1f} cm",
                "of the way": "?" if error is None else f"{error.ate_share:.2f} %",
                "scale": "?" if error is None else f"{error.scale:.3f}",
            }
        )
    return rows
