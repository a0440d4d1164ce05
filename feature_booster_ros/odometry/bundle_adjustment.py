# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bundle adjustment of keyframes and landmarks; docs/design.md compares libraries."""

from __future__ import annotations

import dataclasses
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
        depth_residuals: (O,) float64, error of each measured inverse depth in its sigmas, NaN where
            it is unknown.
        information: (6 F, 6 F) of the F poses that are not fixed: the inverse covariance of their
            translations and rotations in the camera's axes, with the points unknown.
    """

    poses: np.ndarray
    points: np.ndarray
    residuals: np.ndarray
    depth_residuals: np.ndarray
    information: np.ndarray


@dataclass(frozen=True, eq=False)
class _Observations:
    """O observations of points by cameras; see :func:`adjust`."""

    camera_indices: np.ndarray
    point_indices: np.ndarray
    rays: np.ndarray
    sigmas: np.ndarray
    inverse_depths: np.ndarray | None
    inverse_depth_sigmas: np.ndarray | None

    def select(self, which: np.ndarray) -> _Observations:
        """Return the observations at indices, or of a mask (O,) bool."""
        return _Observations(
            self.camera_indices[which],
            self.point_indices[which],
            self.rays[which],
            self.sigmas[which],
            None if self.inverse_depths is None else self.inverse_depths[which],
            None if self.inverse_depth_sigmas is None else self.inverse_depth_sigmas[which],
        )


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
    inverse_depths: np.ndarray | None = None,
    inverse_depth_sigmas: np.ndarray | None = None,
) -> Adjustment:
    """Minimize the reprojection errors under Cauchy's loss (Triggs et al., 2000).

    Measured depths, which determine the scale, add the errors of their inverse, with a loss of
    their own.

    A few hundred points determine a pose as well as a thousand do, in a fraction of the time: with
    ``points_per_pose`` the poses are adjusted with that many of the points that each observes,
    those observed most often, and the other points are then adjusted to the fixed poses.

    Args:
        poses: (K, 4, 4), world to camera.
        is_fixed: (K,) bool, poses that are not adjusted. Two of them fix position and scale,
            one the position where depths were measured.
        points: (M, 3) in the world.
        camera_indices: (O,) rows of ``poses``.
        point_indices: (O,) rows of ``points``. Points with one observation are not adjusted.
        rays: (O, 2) of the observations, undistorted, at depth 1.
        sigmas: (O,) of the rays.
        loss_width: width of the loss; larger residuals lose weight [sigmas].
        points_per_pose: points chosen for each pose that is not fixed; None for all.
        max_iterations: largest number of Levenberg-Marquardt steps.
        inverse_depths: (O,) measured, NaN where unknown; None without any.
        inverse_depth_sigmas: (O,) of the inverse depths, or None.

    Raises:
        ValueError: the arrays' lengths do not fit.
    """
    count = len(camera_indices)
    for name, array in (("point_indices", point_indices), ("rays", rays), ("sigmas", sigmas)):
        if len(array) != count:
            raise ValueError(f"{name} has {len(array)} rows, but camera_indices has {count}")
    if len(is_fixed) != len(poses):
        raise ValueError(f"is_fixed has {len(is_fixed)} rows, but there are {len(poses)} poses")
    observations = _Observations(
        camera_indices, point_indices, rays, sigmas, inverse_depths, inverse_depth_sigmas
    )
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
        theirs = observations.select(used)
        theirs = dataclasses.replace(theirs, point_indices=row[theirs.point_indices])
        poses, points[chosen], information = _solve(
            poses, ~np.asarray(is_fixed), points[chosen], theirs, loss_width, max_iterations
        )
        follow = (seen >= 2) & ~chosen
        if follow.any():
            theirs = observations.select(follow[point_indices])
            points[follow] = _refine_points(poses, points, theirs, loss_width)[follow]
    return Adjustment(poses, points, *_residuals(poses, points, observations), information)


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
    observations: _Observations,
    loss_width: float,
) -> np.ndarray:
    """Return the points (M, 3) adjusted to fixed poses, by Gauss-Newton on all points at once."""
    camera_indices, point_indices = observations.camera_indices, observations.point_indices
    rays, sigmas = observations.rays, observations.sigmas
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
        depth = _depth_errors(scale, observations)
        if depth is not None:
            depth_residuals, by_depth = depth
            weights = 1 / (1 + depth_residuals**2 / loss_width**2)
            by_point = by_depth[:, None] * rotations[:, 2]
            np.add.at(gradient, point_indices, (weights * depth_residuals)[:, None] * by_point)
            outer = by_point[:, :, None] * by_point[:, None]
            np.add.at(hessian, point_indices, weights[:, None, None] * outer)
        # Damping limits the steps of points of uncertain depth.
        trace = np.trace(hessian, axis1=1, axis2=2)
        hessian += (_POINT_DAMPING * trace + 1e-12)[:, None, None] * np.eye(3)
        points = points - np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
    return points


def _solve(
    poses: np.ndarray,
    is_free: np.ndarray,
    points: np.ndarray,
    observations: _Observations,
    loss_width: float,
    max_iterations: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return poses (K, 4, 4), points (M, 3) and information, by Levenberg-Marquardt's method.

    The points are eliminated from each step (the Schur complement; Triggs et al., section 6.1).
    Every point has an observation, and no camera observes a point twice.
    """
    order = np.lexsort((observations.camera_indices, observations.point_indices))
    observations = observations.select(order)
    camera_indices, point_indices = observations.camera_indices, observations.point_indices
    begins = np.flatnonzero(np.r_[True, np.diff(point_indices) > 0])
    place = np.where(is_free, np.cumsum(is_free) - 1, -1)
    free = np.flatnonzero(place[camera_indices] >= 0)  # observations of cameras that move
    camera, point = place[camera_indices[free]], point_indices[free]
    cameras = int(is_free.sum())
    damping, cost, linear = _INITIAL_DAMPING, np.inf, None
    best = poses, points
    for _ in range(max_iterations):
        residuals, by_pose, by_point = _linearize(poses, points, observations)
        trial, roots = _apply_loss(residuals, loss_width)
        is_done = trial <= cost < trial * (1 + _FUNCTION_TOLERANCE)
        if trial < cost:
            best, cost, damping = (poses, points), trial, damping / _DAMPING_FACTOR
            residuals *= roots
            by_point *= roots[:, :, None]
            by_pose = by_pose[free] * roots[free, :, None]
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


def _apply_loss(residuals: np.ndarray, loss_width: float) -> tuple[float, np.ndarray]:
    """Return the cost of residuals (O, D), and the roots of their weights (O, 1) or (O, 3)."""
    squared = (residuals[:, :2] ** 2).sum(axis=1) / loss_width**2
    cost = float(np.log1p(squared).sum())
    if residuals.shape[1] == 2:
        return cost, (1 / np.sqrt(1 + squared))[:, None]
    depth_squared = residuals[:, 2] ** 2 / loss_width**2
    roots = 1 / np.sqrt(1 + np.stack([squared, squared, depth_squared], axis=1))
    return cost + float(np.log1p(depth_squared).sum()), roots


def _linearize(
    poses: np.ndarray, points: np.ndarray, observations: _Observations
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return residuals (O, D) in sigmas, and their derivatives by pose and by point.

    D is 2, or 3 with inverse depths. A point behind its camera has a residual of zero derivatives
    that no step can lower.
    """
    rays, sigmas = observations.rays, observations.sigmas
    poses, points = poses[observations.camera_indices], points[observations.point_indices]
    seen = (poses[:, :3, :3] @ points[:, :, None])[:, :, 0] + poses[:, :3, 3]
    in_front = seen[:, 2] > 1e-9
    scale = np.where(in_front, 1 / np.where(in_front, seen[:, 2], 1.0), 0.0)
    image = seen[:, :2] * scale[:, None]
    residuals = np.where(in_front[:, None], image - rays, 1.0) / sigmas[:, None]
    depth = _depth_errors(scale, observations)
    if depth is not None:
        residuals = np.column_stack([residuals, depth[0]])
    by_seen = np.zeros((len(rays), residuals.shape[1], 3))
    by_seen[:, 0, 0] = by_seen[:, 1, 1] = scale / sigmas
    by_seen[:, :2, 2] = -image * (scale / sigmas)[:, None]
    if depth is not None:
        by_seen[:, 2, 2] = depth[1]
    by_pose = np.empty((*residuals.shape, 6))
    by_pose[:, :, :3] = by_seen
    by_pose[:, :, 3:] = np.cross(seen[:, None], by_seen)
    return residuals, by_pose, by_seen @ poses[:, :3, :3]


def _depth_errors(
    inverse_depths: np.ndarray, observations: _Observations
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return errors (O,) of inverse depths in sigmas, and their derivatives (O,) by the depth.

    Both are 0 where no depth was measured; None without any. ``inverse_depths`` (O,) are those of
    the points, 0 for points behind the camera.
    """
    measured, sigmas = observations.inverse_depths, observations.inverse_depth_sigmas
    if measured is None or sigmas is None:
        return None
    known = np.isfinite(measured) & (inverse_depths > 0)
    sigmas = np.where(known, sigmas, 1.0)
    errors = np.where(known, inverse_depths - measured, 0.0) / sigmas
    return errors, np.where(known, -(inverse_depths**2) / sigmas, 0.0)


def _residuals(
    poses: np.ndarray, points: np.ndarray, observations: _Observations
) -> tuple[np.ndarray, np.ndarray]:
    """Return the reprojection and the depth errors, (O,) and (O,), as in :class:`Adjustment`."""
    mine = poses[observations.camera_indices]
    points = points[observations.point_indices]
    seen = np.einsum("nij,nj->ni", mine[:, :3, :3], points) + mine[:, :3, 3]
    in_front = seen[:, 2] > 1e-9
    depth = np.where(in_front, seen[:, 2], 1.0)
    error = np.linalg.norm(seen[:, :2] / depth[:, None] - observations.rays, axis=1)
    reprojection = np.where(in_front, error / observations.sigmas, np.inf)
    measured, sigmas = observations.inverse_depths, observations.inverse_depth_sigmas
    if measured is None or sigmas is None:
        return reprojection, np.full(len(seen), np.nan)
    return reprojection, np.where(in_front, (1 / depth - measured) / sigmas, np.nan)
