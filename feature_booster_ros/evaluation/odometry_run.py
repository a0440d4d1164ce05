# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Odometry on a whole sequence, and COLMAP on the same frames as the limit."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from ..features import Features
from ..methods import Method, describe_all
from ..odometry import Estimate, OdometrySettings, State, VisualOdometry
from ..pixels import to_gray
from ..progress import Progress
from ..sources import Camera, Source
from ..stamps import rising
from .colmap_run import run_colmap
from .trajectories import TRUTH, OdometryComparison, OdometryRun, Poses, trajectory_error

logger = logging.getLogger(__name__)


def run_odometry(
    source: Source,
    methods: Sequence[Method],
    every: int = 1,
    settings: OdometrySettings | None = None,
    start: int = 0,
    count: int | None = None,
    limit: Method | None = None,
    wide_pixels: str = "stretch",
) -> OdometryComparison:
    """Run the odometry with every method on the frames of a source.

    Frames whose stamps do not rise are left out, with a warning.

    Args:
        source: Frames with intrinsics.
        methods: Methods to compare; each extractor runs once.
        every: Take each N-th frame only.
        settings: Settings of the odometry; None for the defaults.
        start: Number of the first frame to take.
        count: Most frames to take; None for all.
        limit: Method with whose features COLMAP reconstructs the same frames; None to leave that
            out.
        wide_pixels: How pixels of more than 8 bits become 8 bits, one of ``pixels.WIDE_PIXELS``.

    Raises:
        ValueError: There is no frame, a frame has no intrinsics, or start, every or count is out of
            range.
    """
    odometries: list[VisualOdometry] = []
    estimates: list[list[Estimate]] = [[] for _ in methods]
    truth: Poses = []
    seen: list[tuple[float, Features]] = []
    described_by = [*methods, *([] if limit is None else [limit])]
    camera: Camera | None = None
    frames = rising(
        source.frames(start, every, count),
        lambda text: logger.warning("%s: %s", source.name, text),
    )
    for frame in Progress(frames, "odometry"):
        if frame.camera is None:
            raise ValueError(
                f"{frame.name}: the odometry needs the camera's intrinsics: give SOURCE as "
                "PATH,camera=fx,fy,cx,cy or PATH,camera=FILE of a calibration"
            )
        described = describe_all(described_by, to_gray(frame.image, wide_pixels))
        if odometries and frame.camera is not camera:
            for odometry in odometries:
                odometry.set_camera(
                    frame.camera.matrix, frame.camera.distortion, frame.camera.model
                )
        camera = frame.camera
        if not odometries:
            odometries = [
                VisualOdometry(camera.matrix, np.asarray(camera.distortion), camera.model, settings)
                for _ in methods
            ]
        if frame.pose is not None:
            truth.append((frame.stamp, frame.pose))
        if limit is not None:
            seen.append((frame.stamp, described.pop()))
        for odometry, found, features in zip(odometries, estimates, described, strict=True):
            found.append(odometry.track(features, frame.stamp))
    runs = [
        run_of_estimates(method.name, odometry.trajectory(), found)
        for method, odometry, found in zip(methods, odometries, estimates, strict=True)
    ]
    reference, reference_name = truth, TRUTH if truth else ""
    if limit is not None and camera is not None:
        runs.append(run_colmap(limit.name, seen, camera))
        if not truth and runs[-1].trajectory:
            reference, reference_name = runs[-1].trajectory, limit.name
    for run in runs:
        if run.method != reference_name:
            run.error = trajectory_error(run.trajectory, reference)
    return OdometryComparison(runs, truth, reference, reference_name)


def run_of_estimates(method: str, trajectory: Poses, estimates: Sequence[Estimate]) -> OdometryRun:
    """Return a run from the odometry's trajectory and its estimates, one for each frame."""
    tracking = np.array([estimate.tracking_seconds for estimate in estimates])
    mapping = np.array([estimate.mapping_seconds for estimate in estimates])
    return OdometryRun(
        method=method,
        trajectory=trajectory,
        stamps=np.array([estimate.stamp for estimate in estimates]),
        is_tracked=np.array([estimate.pose is not None for estimate in estimates]),
        inliers=np.array([
            estimate.inliers
            if estimate.state is State.TRACKING and estimate.pose is not None
            else 0
            for estimate in estimates
        ]),
        map_numbers=np.array([estimate.map_number for estimate in estimates]),
        tracking_seconds=tracking,
        mapping_seconds=mapping,
        seconds=float(tracking.sum() + mapping.sum()),
    )  # fmt: skip
