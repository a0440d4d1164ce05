# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trajectories of odometry runs, and their errors from a reference, by evo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import install_extra

if TYPE_CHECKING:
    from evo.core.trajectory import PoseTrajectory3D

# Positions that differ by less are the same, in the poses' unit.
_STANDSTILL = 1e-9

Poses = list[tuple[float, np.ndarray]]
"""Stamps in seconds and poses (4, 4), camera to world."""


@dataclass(frozen=True, eq=False)
class TrajectoryError:
    """Error of a trajectory from a reference, after alignment (Umeyama, 1991).

    Attributes:
        ate: Absolute trajectory error, RMSE in the reference's unit.
        ate_share: The same in percent of the length of the reference's path.
        rpe_translation: Relative pose error from frame to frame, RMSE in the reference's unit.
        rpe_rotation: The same of the rotation, in degrees.
        errors: (N,) absolute errors of the poses at ``stamps``, in the reference's unit.
        stamps: (N,) in seconds.
        alignment: Rigid motion of a metric trajectory, else similarity, (4, 4), from the
            trajectory's world to the reference's.
        scale: Length of the trajectory by that of the reference, from the best similarity.
    """

    ate: float
    ate_share: float
    rpe_translation: float
    rpe_rotation: float
    errors: np.ndarray
    stamps: np.ndarray
    alignment: np.ndarray
    scale: float


def check_evo() -> None:
    """Check that evo is installed.

    Raises:
        ValueError: It is not.
    """
    try:
        import evo  # noqa: F401
    except ImportError:
        raise ValueError(f"odometry is scored by evo: {install_extra('odometry')}") from None


def why_no_error(trajectory: Poses, reference: Poses) -> str:
    """Return why a trajectory cannot be compared with a reference, or "" if it can."""
    if not reference:
        return "there are no reference poses"
    common, true = _common(trajectory, reference)
    if len(common) < 3:
        return (
            f"{len(common)} of its {len(trajectory)} poses have one in the reference, 3 are needed"
        )
    for name, poses in (("trajectory", common), ("reference", true)):
        if np.ptp(positions(poses), axis=0).max() < _STANDSTILL:
            return f"the {name} does not move, so there is no scale to align"
    return ""


def trajectory_error(
    trajectory: Poses, reference: Poses, is_metric: bool = False
) -> TrajectoryError | None:
    """Return the error of a trajectory of free pose, and of free scale unless it is metric.

    On a straight line, the rotation about it is undetermined, but the errors do not depend on it.

    Returns:
        The error, or None if :func:`why_no_error` returns a reason.
    """
    from evo.core import metrics
    from evo.core.lie_algebra import se3

    if why_no_error(trajectory, reference):
        return None
    common, truth = _common(trajectory, reference)
    estimated, true = evo_trajectory(common), evo_trajectory(truth)
    rotation, translation, scale = _similarity(positions(common), positions(truth))
    length_ratio = 1 / scale
    if is_metric:
        # The rotation of the best similarity is that of the best rigid motion.
        centers = [positions(poses).mean(axis=0) for poses in (common, truth)]
        scale, translation = 1.0, centers[1] - rotation @ centers[0]
    estimated.scale(scale)
    estimated.transform(se3(rotation, translation))
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
    # The whole path, including what was not tracked.
    length = path_length(reference)
    return TrajectoryError(
        ate=ate,
        ate_share=100 * ate / length if length else float("nan"),
        rpe_translation=relative[0],
        rpe_rotation=relative[1],
        errors=np.asarray(ape.error),
        stamps=np.array([stamp for stamp, _ in common]),
        alignment=alignment,
        scale=length_ratio,
    )


def _common(trajectory: Poses, reference: Poses) -> tuple[Poses, Poses]:
    """Return the poses of both at the stamps that both have."""
    known = dict(reference)
    common = [(stamp, pose) for stamp, pose in trajectory if stamp in known]
    return common, [(stamp, known[stamp]) for stamp, _ in common]


def _similarity(points: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return rotation, translation and scale that take points (N, 3) closest to the target.

    Umeyama: Least-squares estimation of transformation parameters between two point patterns,
    PAMI 1991. evo's function refuses points on a line, as their rotation is not unique; here any of
    the best rotations will do.
    """
    center, target_center = points.mean(axis=0), target.mean(axis=0)
    covariance = (target - target_center).T @ (points - center) / len(points)
    left, singular, right = np.linalg.svd(covariance)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = (left * signs) @ right
    scale = float(singular @ signs / np.var(points, axis=0).sum())
    return rotation, target_center - scale * rotation @ center, scale


def path_length(poses: Poses) -> float:
    """Return the length of the path through all positions, in the poses' unit."""
    if len(poses) < 2:
        return 0.0
    return float(np.linalg.norm(np.diff(positions(poses), axis=0), axis=1).sum())


def positions(poses: Poses) -> np.ndarray:
    """Return the positions (N, 3) of the camera, in the poses' unit."""
    return np.array([pose[:3, 3] for _, pose in poses]).reshape(-1, 3)


def evo_trajectory(poses: Poses) -> PoseTrajectory3D:
    """Convert to evo's trajectory."""
    from evo.core.trajectory import PoseTrajectory3D

    return PoseTrajectory3D(
        poses_se3=[np.array(pose) for _, pose in poses],
        timestamps=np.array([stamp for stamp, _ in poses]),
    )


TRUTH = "truth"
"""Name of the reference if it is ground truth."""


@dataclass(eq=False)
class OdometryRun:
    """The odometry of one method on a sequence of N frames.

    Attributes:
        method: Name of the method.
        trajectory: Stamps and poses (4, 4), camera to world, as refined in the end.
        stamps: (N,) in seconds.
        is_tracked: (N,) bool, whether the frame has a pose.
        inliers: (N,) number of landmarks that support the pose; 0 for a pose without a map.
        map_numbers: (N,) number of the map in use, 0 for the first; the motion between two maps is
            unknown.
        tracking_seconds: (N,) time of matching and pose; None if frames do not come one by one.
        mapping_seconds: (N,) time of keyframes; None likewise.
        seconds: Time of the whole run, without feature extraction.
        is_metric: Whether its lengths are in meters, by measured depth.
        error: Error from the reference; None without a reference, or if :func:`why_no_error` has a
            reason.
    """

    method: str
    trajectory: Poses
    stamps: np.ndarray
    is_tracked: np.ndarray
    inliers: np.ndarray
    map_numbers: np.ndarray
    tracking_seconds: np.ndarray | None
    mapping_seconds: np.ndarray | None
    seconds: float
    is_metric: bool = False
    error: TrajectoryError | None = None

    @property
    def tracked(self) -> float:
        """Share of the frames that have a pose, in [0, 1]."""
        return float(self.is_tracked.mean())

    @property
    def maps(self) -> int:
        """Number of maps."""
        return int(self.map_numbers.max()) + 1 if self.inliers.any() else 0

    @property
    def mean_inliers(self) -> float:
        """Mean number of inliers over the frames tracked in a map."""
        counts = self.inliers[self.inliers > 0]
        return float(counts.mean()) if len(counts) else 0.0


@dataclass(frozen=True, eq=False)
class OdometryComparison:
    """Runs of several methods on one sequence.

    Attributes:
        runs: One for each method, in the order given; COLMAP's is last.
        truth: Ground truth; empty if unknown.
        reference: Trajectory that errors are measured from: ground truth, else COLMAP's; empty
            without either.
        reference_name: ``TRUTH``, the method of a run, or "" without a reference.
    """

    runs: list[OdometryRun]
    truth: Poses
    reference: Poses
    reference_name: str
