# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A whole drive or walk through the odometry, scored against ground truth by evo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from ..odometry import Estimate, OdometrySettings, State, VisualOdometry
from ..sources import Source
from .images import to_grey
from .methods import Method, describe_all

Poses = list[tuple[float, np.ndarray]]


@dataclass(frozen=True, eq=False)
class TrajectoryError:
    """How far a trajectory is from the truth, after alignment by a similarity (Umeyama, 1991).

    Attributes:
        ate: absolute trajectory error, RMSE in metres.
        ate_share: of the length of the true path, in percent.
        rpe_translation: relative pose error from frame to frame, RMSE in metres.
        rpe_rotation: likewise in degrees.
        errors: (N,) absolute errors in metres, of the poses at ``stamps``.
        stamps: (N,) in seconds.
        aligned: (N, 3) positions as aligned, in metres.
    """

    ate: float
    ate_share: float
    rpe_translation: float
    rpe_rotation: float
    errors: np.ndarray
    stamps: np.ndarray
    aligned: np.ndarray


@dataclass(eq=False)
class OdometryRun:
    """One method's way along a sequence.

    Attributes:
        method: name.
        trajectory: stamps and poses (4, 4), camera to world, as refined in the end.
        estimates: one a frame, as given at the time.
        error: None without ground truth, or with fewer than three poses.
    """

    method: str
    trajectory: Poses = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)
    error: TrajectoryError | None = None

    @property
    def tracked(self) -> float:
        """Share of the frames whose pose was given."""
        return float(np.mean([estimate.pose is not None for estimate in self.estimates]))

    @property
    def maps(self) -> int:
        """Maps begun; more than one means that the way between them is not known."""
        return self.estimates[-1].map_number + 1

    @property
    def inliers(self) -> float:
        """Mean landmarks that support a pose, over the frames tracked in a map."""
        counts = [
            estimate.inliers
            for estimate in self.estimates
            if estimate.state is State.TRACKING and estimate.pose is not None
        ]
        return float(np.mean(counts)) if counts else 0.0

    def tracking_milliseconds(self, percentile: float = 50) -> float:
        """Of a frame's time for matching and pose."""
        seconds = [estimate.tracking_seconds for estimate in self.estimates]
        return 1e3 * float(np.percentile(seconds, percentile))

    @property
    def mapping_milliseconds(self) -> float:
        """Mean over all frames of the time for keyframes."""
        return 1e3 * float(np.mean([estimate.mapping_seconds for estimate in self.estimates]))


def check_evo() -> None:
    """Raises ValueError unless evo is installed."""
    try:
        import evo  # noqa: F401
    except ImportError:
        raise ValueError(
            "odometry is scored by evo: pip install feature_booster_ros[odometry]"
        ) from None


def run_odometry(
    source: Source,
    methods: Sequence[Method],
    every: int = 1,
    settings: OdometrySettings | None = None,
) -> tuple[list[OdometryRun], Poses]:
    """Every method's way along the source, and the true one (empty if it is not known).

    Args:
        source: of frames with intrinsics.
        methods: to compare; each detector extracts once.
        every: take each N-th frame only.
        settings: of the odometry.

    Raises:
        ValueError: there is no frame, or a frame has no intrinsics.
    """
    runs = [OdometryRun(method.name) for method in methods]
    odometries: list[VisualOdometry] = []
    truth: Poses = []
    for number, frame in enumerate(tqdm(source, "odometry")):
        if number % every:
            continue
        if frame.camera is None:
            raise ValueError(f"{frame.name}: the odometry needs the camera's intrinsics")
        described = describe_all(methods, to_grey(frame.image))
        if not odometries:
            camera = frame.camera
            odometries = [
                VisualOdometry(camera.matrix, camera.distortion, camera.model, settings)
                for _ in methods
            ]
        if frame.pose is not None:
            truth.append((frame.stamp, frame.pose))
        for run, odometry, features in zip(runs, odometries, described, strict=True):
            run.estimates.append(odometry.track(features, frame.stamp))
    if not odometries:
        raise ValueError(f"{source}: no frame to run the odometry on")
    for run, odometry in zip(runs, odometries, strict=True):
        run.trajectory = odometry.trajectory()
        run.error = trajectory_error(run.trajectory, truth)
    return runs, truth


def trajectory_error(trajectory: Poses, truth: Poses) -> TrajectoryError | None:
    """The error of a trajectory whose scale and place are free; None if fewer than three of its
    stamps have a true pose, or it does not move.
    """
    from evo.core import metrics
    from evo.core.geometry import GeometryException

    known = dict(truth)
    common = [(stamp, pose) for stamp, pose in trajectory if stamp in known]
    if len(common) < 3:
        return None
    estimated = evo_trajectory(common)
    reference = evo_trajectory([(stamp, known[stamp]) for stamp, _ in common])
    try:
        estimated.align(reference, correct_scale=True)
    except GeometryException:
        return None
    ape = metrics.APE(metrics.PoseRelation.translation_part)
    ape.process_data((reference, estimated))
    relative = []
    for relation in (
        metrics.PoseRelation.translation_part,
        metrics.PoseRelation.rotation_angle_deg,
    ):
        rpe = metrics.RPE(relation, delta=1, delta_unit=metrics.Unit.frames, all_pairs=True)
        rpe.process_data((reference, estimated))
        relative.append(float(rpe.get_statistic(metrics.StatisticsType.rmse)))
    ate = float(ape.get_statistic(metrics.StatisticsType.rmse))
    # All of the way, also what was not tracked.
    length = path_length(truth)
    return TrajectoryError(
        ate=ate,
        ate_share=100 * ate / length if length else float("nan"),
        rpe_translation=relative[0],
        rpe_rotation=relative[1],
        errors=np.asarray(ape.error),
        stamps=np.array([stamp for stamp, _ in common]),
        aligned=np.asarray(estimated.positions_xyz),
    )


def path_length(poses: Poses) -> float:
    """Length of the way through all positions, in the poses' unit."""
    if len(poses) < 2:
        return 0.0
    positions = np.array([pose[:3, 3] for _, pose in poses])
    return float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum())


def evo_trajectory(poses: Poses):
    """As evo has it: an evo.core.trajectory.PoseTrajectory3D."""
    from evo.core.trajectory import PoseTrajectory3D

    return PoseTrajectory3D(
        poses_se3=[np.array(pose) for _, pose in poses],
        timestamps=np.array([stamp for stamp, _ in poses]),
    )
