# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bundle adjustment of keyframes and landmarks, by Ceres through pycolmap.

docs/design.md compares the libraries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap

_FUNCTION_TOLERANCE = 1e-4
"""Relative decrease of the cost below which Ceres ends."""
_POINT_ITERATIONS = 3
"""Gauss-Newton steps of the points that follow the poses."""
_POINT_DAMPING = 1e-6
"""Damping of these steps, as a share of the Hessian's trace."""
_IMAGE_SIZE = 10
"""Width and height of the image [px]; without effect, but COLMAP requires them."""


@dataclass(frozen=True, eq=False)
class Adjustment:
    """Adjusted poses and points.

    Attributes:
        poses: (K, 4, 4) float64, world to camera; fixed ones are unchanged.
        points: (M, 3) float64.
        residuals: (O,) float64, reprojection error of each observation in its sigmas; infinite
            where the point lies behind the camera.
    """

    poses: np.ndarray
    points: np.ndarray
    residuals: np.ndarray


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
    threads: int = 1,
) -> Adjustment:
    """Minimize the reprojection errors under Cauchy's loss (Triggs et al., 2000).

    All observations have the same weight, that of the median sigma: COLMAP's bundle adjustment has
    no weights.

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
    if used.any() and not np.all(is_fixed):
        reconstruction, rows = _reconstruction(
            poses, points, camera_indices[used], point_indices[used], rays[used],
            float(np.median(sigmas)),
        )  # fmt: skip
        _solve(reconstruction, np.asarray(is_fixed), loss_width, max_iterations, threads)
        for index in np.flatnonzero(~np.asarray(is_fixed)):
            poses[index, :3] = reconstruction.image(int(index) + 1).cam_from_world().matrix()
        moved = reconstruction.points3D
        points[list(rows.values())] = [moved[identity].xyz for identity in rows]
        follow = (seen >= 2) & ~chosen
        if follow.any():
            theirs = follow[point_indices]
            points[follow] = _refine_points(
                poses, points, camera_indices[theirs], point_indices[theirs], rays[theirs],
                sigmas[theirs], loss_width,
            )[follow]  # fmt: skip
    return Adjustment(
        poses, points, _residuals(poses, points, camera_indices, point_indices, rays, sigmas)
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


def _reconstruction(
    poses: np.ndarray,
    points: np.ndarray,
    camera_indices: np.ndarray,
    point_indices: np.ndarray,
    rays: np.ndarray,
    sigma: float,
) -> tuple[pycolmap.Reconstruction, dict[int, int]]:
    """Return a reconstruction whose pixel is a sigma, and the row of each of its points."""
    reconstruction = pycolmap.Reconstruction()
    reconstruction.add_camera_with_trivial_rig(
        pycolmap.Camera(
            model="SIMPLE_PINHOLE", width=_IMAGE_SIZE, height=_IMAGE_SIZE,
            params=[1 / sigma, 0, 0], camera_id=1,
        )
    )  # fmt: skip
    place = np.zeros(len(rays), np.int64)
    for index, pose in enumerate(poses):
        mine = np.flatnonzero(camera_indices == index)
        place[mine] = np.arange(len(mine))
        reconstruction.add_image_with_trivial_frame(
            pycolmap.Image(
                name=str(index), keypoints=rays[mine] / sigma, camera_id=1, image_id=index + 1
            ),
            pycolmap.Rigid3d(pycolmap.Rotation3d(pose[:3, :3]), pose[:3, 3]),
        )
    order = np.argsort(point_indices, kind="stable")
    ends = np.searchsorted(point_indices[order], np.arange(len(points) + 1)).tolist()
    images, places = (camera_indices[order] + 1).tolist(), place[order].tolist()
    rows, color, element = {}, np.zeros(3, np.uint8), pycolmap.TrackElement
    for row in range(len(points)):
        begin, end = ends[row], ends[row + 1]
        if begin < end:
            track = pycolmap.Track()
            track.elements = [element(images[i], places[i]) for i in range(begin, end)]
            rows[reconstruction.add_point3D(points[row], track, color)] = row
    return reconstruction, rows


def _solve(
    reconstruction: pycolmap.Reconstruction,
    is_fixed: np.ndarray,
    loss_width: float,
    max_iterations: int,
    threads: int,
) -> None:
    config = pycolmap.BundleAdjustmentConfig()
    for index in range(len(is_fixed)):
        config.add_image(index + 1)
        if is_fixed[index]:
            config.set_constant_rig_from_world_pose(index + 1)
    config.set_constant_cam_intrinsics(1)
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = loss_width
    solver = options.ceres.solver_options
    solver.max_num_iterations, solver.num_threads = max_iterations, threads
    solver.function_tolerance = _FUNCTION_TOLERANCE
    pycolmap.create_default_bundle_adjuster(options, config, reconstruction).solve()


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
