# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bundle adjustment of keyframes and landmarks; docs/design.md compares libraries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rigid import rotation_matrix

_FUNCTION_TOLERANCE = 1e-4
"""Relative decrease of the cost below which the adjustment ends."""
_POINT_ITERATIONS = 3
"""Gauss-Newton steps of the points that follow the poses."""
_POINT_DAMPING = 1e-6
"""Damping of these steps, as a share of the Hessian's trace."""
_POINT_PRIOR = 1e-9
"""Information added to each point's, as a share of its trace, for points at infinity."""
_INITIAL_DAMPING = 1e-4
"""First damping of the steps, as a share of the Hessian's diagonal."""
_DAMPING_FACTOR = 3.0
"""Factor by which the damping falls after a good step; it rises by the square after a bad one."""


@dataclass(frozen=True, eq=False)
class Adjustment:
    """Adjusted poses and points.

    Attributes:
        poses: (K, 4, 4) float64, world to camera; fixed ones are unchanged.
        points: (M, 3) float64.
        residuals: (O,) float64, reprojection error of each observation in its sigmas; infinite
            where the point lies behind the camera.
        information: (6 F, 6 F) of the F poses that are not fixed: the inverse covariance of their
            translations and rotations in the camera's axes, with the points unknown.
    """

    poses: np.ndarray
    points: np.ndarray
    residuals: np.ndarray
    information: np.ndarray


def adjust(
    poses: np.ndarray,
    is_fixed: np.ndarray,
    points: np.ndarray,
    camera_indices: np.ndarray,
    point_indices: np.ndarray,
    rays: np.ndarray,
    sigmas: np.ndarray,
    loss_width: float = 2.0,
    points_per_pose: int | None = None,
    max_iterations: int = 10,
) -> Adjustment:
    """Minimize the reprojection errors under Cauchy's loss (Triggs et al., 2000).

    A few hundred points determine a pose as well as a thousand do, in a fraction of the time: with
    ``points_per_pose`` the poses are adjusted with that many of the points that each observes,
    those observed most often, and the other points are then adjusted to the fixed poses.

    Args:
        poses: (K, 4, 4), world to camera.
        is_fixed: (K,) bool, poses that are not adjusted. Two of them fix position and scale.
        points: (M, 3) in the world.
        camera_indices: (O,) rows of ``poses``.
        point_indices: (O,) rows of ``points``. Points with one observation are not adjusted.
        rays: (O, 2) of the observations, undistorted, at depth 1.
        sigmas: (O,) of the rays.
        loss_width: width of the loss; larger residuals lose weight [sigmas].
        points_per_pose: points chosen for each pose that is not fixed; None for all.
        max_iterations: largest number of Levenberg-Marquardt steps.
        threads: threads of Ceres.

    Raises:
        ValueError: the arrays' lengths do not fit.
    """
    count = len(camera_indices)
    for name, array in (("point_indices", point_indices), ("rays", rays), ("sigmas", sigmas)):
        if len(array) != count:
            raise ValueError(f"{name} has {len(array)} rows, but camera_indices has {count}")
    if len(is_fixed) != len(poses):
        raise ValueError(f"is_fixed has {len(is_fixed)} rows, but there are {len(poses)} poses")
    poses, points = np.array(poses, np.float64), np.array(points, np.float64)
    seen = np.bincount(point_indices, minlength=len(points))
    chosen = seen >= 2
    if points_per_pose is not None:
        chosen &= _choose_points(seen, is_fixed, camera_indices, point_indices, points_per_pose)
    used = chosen[point_indices]
    size = 6 * int((~np.asarray(is_fixed)).sum())
    information = np.zeros((size, size))
    if used.any() and not np.all(is_fixed):
        row = np.cumsum(chosen) - 1
        poses, points[chosen], information = _solve(
            poses, ~np.asarray(is_fixed), points[chosen], camera_indices[used],
            row[point_indices[used]], rays[used], sigmas[used], loss_width, max_iterations,
        )  # fmt: skip
        follow = (seen >= 2) & ~chosen
        if follow.any():
            theirs = follow[point_indices]
            points[follow] = _refine_points(
                poses, points, camera_indices[theirs], point_indices[theirs], rays[theirs],
                sigmas[theirs], loss_width,
            )[follow]  # fmt: skip
    return Adjustment(
        poses,
        points,
        _residuals(poses, points, camera_indices, point_indices, rays, sigmas),
        information,
    )


def _choose_points(
    seen: np.ndarray,
    is_fixed: np.ndarray,
    camera_indices: np.ndarray,
    point_indices: np.ndarray,
    points_per_pose: int,
) -> np.ndarray:
    """Return which points (M,) bool adjust the poses: the most observed of each free camera."""
    chosen = np.zeros(len(seen), bool)
    for camera in np.flatnonzero(~np.asarray(is_fixed)):
        mine = point_indices[camera_indices == camera]
        missing = points_per_pose - int(chosen[mine].sum())
        if missing > 0:
            mine = mine[~chosen[mine]]
            chosen[mine[np.argsort(-seen[mine], kind="stable")[:missing]]] = True
    return chosen


def _refine_points(
    poses: np.ndarray,
    points: np.ndarray,
    camera_indices: np.ndarray,
    point_indices: np.ndarray,
    rays: np.ndarray,
    sigmas: np.ndarray,
    loss_width: float,
) -> np.ndarray:
    """Return the points (M, 3) adjusted to fixed poses, by Gauss-Newton on all points at once."""
    rotations = poses[camera_indices, :3, :3]
    for _ in range(_POINT_ITERATIONS):
        seen = (
            np.einsum("nij,nj->ni", rotations, points[point_indices]) + poses[camera_indices, :3, 3]
        )
        in_front = seen[:, 2] > 1e-9
        scale = np.where(in_front, 1 / np.where(in_front, seen[:, 2], 1.0), 0.0)
        image = seen[:, :2] * scale[:, None]
        residuals = np.where(in_front[:, None], image - rays, 0) / sigmas[:, None]
        jacobian = rotations[:, :2] - image[:, :, None] * rotations[:, 2:]
        jacobian *= (scale / sigmas)[:, None, None]
        weights = 1 / (1 + (residuals**2).sum(axis=1) / loss_width**2)
        hessian, gradient = np.zeros((len(points), 3, 3)), np.zeros((len(points), 3))
        for row in range(3):
            product = weights * np.einsum("ni,ni->n", jacobian[:, :, row], residuals)
            gradient[:, row] = np.bincount(point_indices, product, len(points))
            for column in range(row, 3):
                product = weights * np.einsum(
                    "ni,ni->n", jacobian[:, :, row], jacobian[:, :, column]
                )
                hessian[:, row, column] = hessian[:, column, row] = np.bincount(
                    point_indices, product, len(points)
                )
        # Damping limits the steps of points of uncertain depth.
        trace = np.trace(hessian, axis1=1, axis2=2)
        hessian += (_POINT_DAMPING * trace + 1e-12)[:, None, None] * np.eye(3)
        points = points - np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
    return points


def _solve(
    poses: np.ndarray,
    is_free: np.ndarray,
    points: np.ndarray,
    camera_indices: np.ndarray,
    point_indices: np.ndarray,
    rays: np.ndarray,
    sigmas: np.ndarray,
    loss_width: float,
    max_iterations: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return poses (K, 4, 4), points (M, 3) and information, by Levenberg-Marquardt's method.

    The points are eliminated from each step (the Schur complement; Triggs et al., section 6.1).
    Every point has an observation, and no camera observes a point twice.
    """
    order = np.lexsort((camera_indices, point_indices))
    camera_indices, point_indices, rays, sigmas = (
        each[order] for each in (camera_indices, point_indices, rays, sigmas)
    )
    begins = np.flatnonzero(np.r_[True, np.diff(point_indices) > 0])
    place = np.where(is_free, np.cumsum(is_free) - 1, -1)
    free = np.flatnonzero(place[camera_indices] >= 0)  # observations of cameras that move
    camera, point = place[camera_indices[free]], point_indices[free]
    cameras = int(is_free.sum())
    damping, cost, linear = _INITIAL_DAMPING, np.inf, None
    best = poses, points
    for _ in range(max_iterations):
        residuals, by_pose, by_point = _linearize(
            poses[camera_indices], points[point_indices], rays, sigmas
        )
        squared = (residuals**2).sum(axis=1) / loss_width**2
        trial = float(np.log1p(squared).sum())
        is_done = trial <= cost < trial * (1 + _FUNCTION_TOLERANCE)
        if trial < cost:
            best, cost, damping = (poses, points), trial, damping / _DAMPING_FACTOR
            root = 1 / np.sqrt(1 + squared)
            residuals *= root[:, None]
            by_point *= root[:, None, None]
            by_pose = by_pose[free] * root[free, None, None]
            pose_hessian = np.zeros((cameras, 6, 6))
            pose_gradient = np.zeros((cameras, 6))
            for number in range(cameras):
                mine = camera == number
                rows = by_pose[mine].reshape(-1, 6)
                pose_hessian[number] = rows.T @ rows
                pose_gradient[number] = rows.T @ residuals[free[mine]].ravel()
            point_hessian = np.add.reduceat(by_point.transpose(0, 2, 1) @ by_point, begins)
            point_gradient = np.add.reduceat(
                (by_point.transpose(0, 2, 1) @ residuals[:, :, None])[:, :, 0], begins
            )
            mixed = np.zeros((len(points), 3, cameras, 6))
            mixed[point, :, camera] = by_point[free].transpose(0, 2, 1) @ by_pose
            linear = _NormalEquations(
                pose_hessian,
                pose_gradient,
                point_hessian,
                point_gradient,
                mixed.reshape(-1, 6 * cameras),
            )
        else:
            damping *= _DAMPING_FACTOR**2
        if linear is None or is_done:  # without a finite cost there is nothing to adjust
            break
        pose_step, point_step = linear.step(damping)
        poses, points = best[0].copy(), best[1] + point_step
        for index, step in zip(np.flatnonzero(is_free), pose_step, strict=True):
            turn = rotation_matrix(step[3:])
            poses[index, :3, :3] = turn @ poses[index, :3, :3]
            poses[index, :3, 3] = turn @ poses[index, :3, 3] + step[:3]
    if linear is None:
        return *best, np.zeros((6 * cameras, 6 * cameras))
    return *best, linear.pose_information()


@dataclass(frozen=True, eq=False)
class _NormalEquations:
    """The normal equations of F free poses and M points.

    Attributes:
        pose_hessian: (F, 6, 6).
        pose_gradient: (F, 6).
        point_hessian: (M, 3, 3).
        point_gradient: (M, 3).
        mixed: (3 M, 6 F), second derivatives by point and pose.
    """

    pose_hessian: np.ndarray
    pose_gradient: np.ndarray
    point_hessian: np.ndarray
    point_gradient: np.ndarray
    mixed: np.ndarray

    def step(self, damping: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the damped steps of the poses (F, 6) and of the points (M, 3)."""
        reduced, weighted, inverse = self._eliminate_points(damping)
        right = self.point_gradient.ravel() @ weighted - self.pose_gradient.ravel()
        poses = np.linalg.lstsq(reduced, right, rcond=1e-14)[0]
        moved = self.point_gradient + (self.mixed @ poses).reshape(-1, 3)
        return poses.reshape(-1, 6), -(inverse @ moved[:, :, None])[:, :, 0]

    def pose_information(self) -> np.ndarray:
        """Return the information (6 F, 6 F) of the poses, whatever the points are."""
        return self._eliminate_points(0.0)[0]

    def _eliminate_points(self, damping: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the Schur complement, its factor of the points' gradient, and their inverse."""
        eye = np.eye(3)
        least = _POINT_PRIOR * np.trace(self.point_hessian, axis1=1, axis2=2) + 1e-12
        inverse = np.linalg.inv(
            self.point_hessian * (1 + damping * eye) + least[:, None, None] * eye
        )
        size = self.mixed.shape[1]
        weighted = (inverse @ self.mixed.reshape(-1, 3, size)).reshape(-1, size)
        reduced = -weighted.T @ self.mixed
        for number, block in enumerate(self.pose_hessian):
            part = slice(6 * number, 6 * number + 6)
            reduced[part, part] += block * (1 + damping * np.eye(6))
        return reduced, weighted, inverse


def _linearize(
    poses: np.ndarray, points: np.ndarray, rays: np.ndarray, sigmas: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return residuals (O, 2) in sigmas, and their derivatives by pose and by point.

    A point behind its camera has a residual of zero derivatives that no step can lower.
    """
    seen = (poses[:, :3, :3] @ points[:, :, None])[:, :, 0] + poses[:, :3, 3]
    in_front = seen[:, 2] > 1e-9
    scale = np.where(in_front, 1 / np.where(in_front, seen[:, 2], 1.0), 0.0)
    image = seen[:, :2] * scale[:, None]
    residuals = np.where(in_front[:, None], image - rays, 1.0) / sigmas[:, None]
    by_seen = np.zeros((len(rays), 2, 3))
    by_seen[:, 0, 0] = by_seen[:, 1, 1] = scale / sigmas
    by_seen[:, :, 2] = -image * (scale / sigmas)[:, None]
    by_pose = np.empty((len(rays), 2, 6))
    by_pose[:, :, :3] = by_seen
    by_pose[:, :, 3:] = np.cross(seen[:, None], by_seen)
    return residuals, by_pose, by_seen @ poses[:, :3, :3]


def _residuals(
    poses: np.ndarray,
    points: np.ndarray,
    camera_indices: np.ndarray,
    point_indices: np.ndarray,
    rays: np.ndarray,
    sigmas: np.ndarray,
) -> np.ndarray:
    mine = poses[camera_indices]
    seen = np.einsum("nij,nj->ni", mine[:, :3, :3], points[point_indices]) + mine[:, :3, 3]
    in_front = seen[:, 2] > 1e-9
    depth = np.where(in_front, seen[:, 2], 1.0)
    error = np.linalg.norm(seen[:, :2] / depth[:, None] - rays, axis=1) / sigmas
    return np.where(in_front, error, np.inf)
