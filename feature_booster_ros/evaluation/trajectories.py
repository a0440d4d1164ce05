# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far a trajectory is from another one, by evo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Poses = list[tuple[float, np.ndarray]]
"""Stamps in seconds and poses (4, 4), camera to world."""


@dataclass(frozen=True, eq=False)
class TrajectoryError:
    """How far a trajectory is from the reference, after alignment by a similarity (Umeyama, 1991).

    Attributes:
        ate: absolute trajectory error, RMSE in the reference's unit.
        ate_share: of the length of the reference's path, in percent.
        rpe_translation: relative pose error from frame to frame, RMSE in the reference's unit.
        rpe_rotation: likewise in degrees.
        errors: (N,) absolute errors in the reference's unit, of the poses at ``stamps``.
        stamps: (N,) in seconds.
        alignment: (4, 4), the similarity that takes the trajectory's world to the reference's.
    """

    ate: float
    ate_share: float
    rpe_translation: float
    rpe_rotation: float
    errors: np.ndarray
    stamps: np.ndarray
    alignment: np.ndarray


def check_evo() -> None:
    """Raises ValueError unless evo is installed."""
    try:
        import evo  # noqa: F401
    except ImportError:
        raise ValueError(
            "odometry is scored by evo: pip install feature_booster_ros[odometry]"
        ) from None


def trajectory_error(trajectory: Poses, reference: Poses) -> TrajectoryError | None:
    """The error of a trajectory whose scale and place are free; None if fewer than three of its
    stamps have a pose in the reference, or it does not move.
    """
    from evo.core import metrics
    from evo.core.geometry import GeometryException

    known = dict(reference)
    common = [(stamp, pose) for stamp, pose in trajectory if stamp in known]
    if len(common) < 3:
        return None
    estimated = evo_trajectory(common)
    true = evo_trajectory([(stamp, known[stamp]) for stamp, _ in common])
    try:
        rotation, translation, scale = estimated.align(true, correct_scale=True)
    except GeometryException:
        return None
    alignment = np.eye(4)
    alignment[:3, :3], alignment[:3, 3] = scale * rotation, translation
    ape = metrics.APE(metrics.PoseRelation.translation_part)
    ape.process_data((true, estimated))
    relative = []
    for relation in (
        metrics.PoseRelation.translation_part,
        metrics.PoseRelation.rotation_angle_deg,
    ):
        rpe = metrics.RPE(relation, delta=1, delta_unit=metrics.Unit.frames, all_pairs=True)
        rpe.process_data((true, estimated))
        relative.append(float(rpe.get_statistic(metrics.StatisticsType.rmse)))
    ate = float(ape.get_statistic(metrics.StatisticsType.rmse))
    # All of the way, also what was not tracked.
    length = path_length(reference)
    return TrajectoryError(
        ate=ate,
        ate_share=100 * ate / length if length else float("nan"),
        rpe_translation=relative[0],
        rpe_rotation=relative[1],
        errors=np.asarray(ape.error),
        stamps=np.array([stamp for stamp, _ in common]),
        alignment=alignment,
    )


def path_length(poses: Poses) -> float:
    """Length of the way through all positions, in the poses' unit."""
    if len(poses) < 2:
        return 0.0
    return float(np.linalg.norm(np.diff(positions(poses), axis=0), axis=1).sum())


def positions(poses: Poses) -> np.ndarray:
    """(N, 3) of the camera, in the poses' unit."""
    return np.array([pose[:3, 3] for _, pose in poses]).reshape(-1, 3)


def evo_trajectory(poses: Poses):
    """As evo has it: an evo.core.trajectory.PoseTrajectory3D."""
    from evo.core.trajectory import PoseTrajectory3D

    return PoseTrajectory3D(
        poses_se3=[np.array(pose) for _, pose in poses],
        timestamps=np.array([stamp for stamp, _ in poses]),
    )
