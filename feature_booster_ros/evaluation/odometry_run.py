# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Odometry on a whole sequence, and COLMAP on the same frames as the limit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..depth import DepthSensor
from ..features import Features
from ..methods import Method, describe_all
from ..odometry import Estimate, OdometrySettings, State, VisualOdometry
from ..pixels import to_gray
from ..progress import Progress
from ..sources import Camera, Frame, Source
from ..stamps import rising
from .colmap_run import run_colmap
from .trajectories import TRUTH, OdometryComparison, OdometryRun, Poses, trajectory_error

logger = logging.getLogger(__name__)

DEPTH_USES = ("both", "measured", "none")
"""With and without the depth that a source measures, with it alone, or without it."""


@dataclass(eq=False)
class _Lane:
    """The odometry of one method on the frames so far.

    Attributes:
        method: Number of the method.
        name: Name of the run.
        uses_depth: Whether it uses measured depth.
        odometry: That follows the frames.
        estimates: One for each frame.
    """

    method: int
    name: str
    uses_depth: bool
    odometry: VisualOdometry
    estimates: list[Estimate] = field(default_factory=list)


def run_odometry(
    source: Source,
    methods: Sequence[Method],
    every: int = 1,
    settings: OdometrySettings | None = None,
    start: int = 0,
    count: int | None = None,
    limit: Method | None = None,
    wide_pixels: str = "stretch",
    depth: str = "both",
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
        depth: How the depth of a source with depth images or right images is used, one of
            ``DEPTH_USES``; "both" gives two runs of each method.

    Raises:
        ValueError: There is no frame, a frame has no intrinsics, start, every or count is out of
            range, the depth does not fit the images, or depth is measured by nothing but asked for.
    """
    lanes: list[_Lane] = []
    sensor = DepthSensor()
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
        image = to_gray(frame.image, wide_pixels)
        described = describe_all(described_by, image)
        if lanes and frame.camera is not camera:
            for lane in lanes:
                lane.odometry.set_camera(
                    frame.camera.matrix, frame.camera.distortion, frame.camera.model
                )
        camera = frame.camera
        if not lanes:
            lanes = _open_lanes(methods, camera, settings, _name_depth(frame, depth), depth)
        if frame.pose is not None:
            truth.append((frame.stamp, frame.pose))
        if limit is not None:
            seen.append((frame.stamp, described.pop()))
        for lane in lanes:
            features = described[lane.method]
            if lane.uses_depth:
                features = _measure(sensor, features, image, frame)
            lane.estimates.append(lane.odometry.track(features, frame.stamp))
    runs = [
        run_of_estimates(lane.name, lane.odometry.trajectory(), lane.estimates, lane.uses_depth)
        for lane in lanes
    ]
    reference, reference_name = truth, TRUTH if truth else ""
    if limit is not None and camera is not None:
        runs.append(run_colmap(limit.name, seen, camera))
        if not truth and runs[-1].trajectory:
            reference, reference_name = runs[-1].trajectory, limit.name
    for run in runs:
        if run.method != reference_name:
            is_metric = run.is_metric and reference_name == TRUTH
            run.error = trajectory_error(run.trajectory, reference, is_metric)
    return OdometryComparison(runs, truth, reference, reference_name)


def _name_depth(frame: Frame, depth: str) -> str:
    """Return what measures the depth of a frame, or "" where nothing does or none is to be used.

    Raises:
        ValueError: Depth is asked for, but nothing measures it.
    """
    if depth == "none":
        return ""
    if frame.depth is not None:
        return "RGB-D"
    if frame.right is not None:
        return "stereo"
    if depth == "measured":
        raise ValueError(
            f"{frame.name}: the source has neither depth images nor right images: leave out "
            "--depth measured"
        )
    return ""


def _open_lanes(
    methods: Sequence[Method],
    camera: Camera,
    settings: OdometrySettings | None,
    sensor_name: str,
    depth: str,
) -> list[_Lane]:
    uses = [False, True] if depth == "both" else [depth == "measured"]
    return [
        _Lane(
            number,
            f"{method.name}, {sensor_name}" if uses_depth else method.name,
            uses_depth,
            VisualOdometry(camera.matrix, np.asarray(camera.distortion), camera.model, settings),
        )
        for number, method in enumerate(methods)
        for uses_depth in uses
        if sensor_name or not uses_depth
    ]


def _measure(sensor: DepthSensor, features: Features, image: np.ndarray, frame: Frame) -> Features:
    """Return the features with the depths of the frame's depth image or right image, if any."""
    if frame.depth is not None:
        return sensor.read_aligned(features, frame.depth, image.shape)
    if frame.right is not None and frame.camera is not None:
        return sensor.match_stereo(features, image, frame.camera, frame.right)
    return features


def run_of_estimates(
    method: str, trajectory: Poses, estimates: Sequence[Estimate], is_metric: bool = False
) -> OdometryRun:
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
        is_metric=is_metric,
    )  # fmt: skip
