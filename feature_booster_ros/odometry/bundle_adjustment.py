# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keyframes and landmarks fitted together, by Ceres through pycolmap.

For 10 keyframes, 1000 landmarks and 3,900 observations on one core of 2 GHz, pycolmap 4.2 takes
20 ms to state the problem and 25 ms to solve it; gtsam 4.3 (projection factors, Levenberg-Marquardt
with the landmarks eliminated first) 30 and 650 ms. pycolmap is kept up, BSD, and has wheels for
Python 3.10 to 3.13; gtsam's only one for 3.10 was built for NumPy 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycolmap

_FUNCTION_TOLERANCE = 1e-4
_FOLLOWING_STEPS = 3
_FOLLOWING_DAMPING = 1e-6
_IMAGE_SIZE = 10
"""Of no consequence: COLMAP wants one."""


@dataclass(frozen=True, eq=False)
class Adjustment:
    """Fitted poses and points.

    Attributes:
        poses: (K, 4, 4) float64, world to camera; the fixed ones unchanged.
        points: (M, 3) float64.
        residuals: (O,) float64, how far each observation is from its point's projection, in its own
            sigmas; infinite where the point lies behind the camera.
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
    maximum_iterations: int = 10,
    threads: int = 1,
) -> Adjustment:
    """Bundle adjustment (Triggs et al., 2000) of reprojection errors under Cauchy's loss.

    All observations weigh the same, as one of the median sigma: COLMAP has no weights.

    Some hundred points tell a pose as well as a thousand do, in a fraction of the time: with
    ``points_per_pose`` the poses are adjusted with so many of the points that each sees, those seen
    most often, and the other points then follow, with the poses held.

    Args:
        poses: (K, 4, 4), world to camera.
        is_fixed: (K,) bool, poses that stay. Two of them fix place and scale.
        points: (M, 3) in the world.
        camera_indices: (O,) rows of ``poses``.
        point_indices: (O,) rows of ``points``. Points with one observation stay where they are.
        rays: (O, 2), where each point was seen, undistorted, at depth 1.
        sigmas: (O,) of the rays.
        loss_width: residuals beyond so many sigmas lose weight.
        points_per_pose: that are chosen for each pose that is not fixed; None for all.
        maximum_iterations: of Levenberg and Marquardt.
        threads: of Ceres.

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
        chosen &= _telling(seen, is_fixed, camera_indices, point_indices, points_per_pose)
    used = chosen[point_indices]
    if used.any() and not np.all(is_fixed):
        scene, rows = _scene(
            poses, points, camera_indices[used], point_indices[used], rays[used],
            float(np.median(sigmas)),
        )  # fmt: skip
        _solve(scene, np.asarray(is_fixed), loss_width, maximum_iterations, threads)
        for index in np.flatnonzero(~np.asarray(is_fixed)):
            poses[index, :3] = scene.image(int(index) + 1).cam_from_world().matrix()
        moved = scene.points3D
        points[list(rows.values())] = [moved[identity].xyz for identity in rows]
        follow = (seen >= 2) & ~chosen
        if follow.any():
            theirs = follow[point_indices]
            points[follow] = _points_for_poses(
                poses, points, camera_indices[theirs], point_indices[theirs], rays[theirs],
                sigmas[theirs], loss_width,
            )[follow]  # fmt: skip
    return Adjustment(
        poses, points, _residuals(poses, points, camera_indices, point_indices, rays, sigmas)
    )


def _telling(
    seen: np.ndarray,
    is_fixed: np.ndarray,
    camera_indices: np.ndarray,
    point_indices: np.ndarray,
    points_per_pose: int,
) -> np.ndarray:
    """(M,) bool, the points to adjust the poses with: of each free camera those that most see."""
    chosen = np.zeros(len(seen), bool)
    for camera in np.flatnonzero(~np.asarray(is_fixed)):
        mine = point_indices[camera_indices == camera]
        missing = points_per_pose - int(chosen[mine].sum())
        if missing > 0:
            mine = mine[~chosen[mine]]
            chosen[mine[np.argsort(-seen[mine], kind="stable")[:missing]]] = True
    return chosen


def _points_for_poses(
    poses: np.ndarray,
    points: np.ndarray,
    camera_indices: np.ndarray,
    point_indices: np.ndarray,
    rays: np.ndarray,
    sigmas: np.ndarray,
    loss_width: float,
) -> np.ndarray:
    """The points that fit their observations best while the poses stay: a Gauss-Newton of three
    unknowns for each, all at once.
    """
    turns = poses[camera_indices, :3, :3]
    for _ in range(_FOLLOWING_STEPS):
        seen = np.einsum("nij,nj->ni", turns, points[point_indices]) + poses[camera_indices, :3, 3]
        in_front = seen[:, 2] > 1e-9
        scale = np.where(in_front, 1 / np.where(in_front, seen[:, 2], 1.0), 0.0)
        image = seen[:, :2] * scale[:, None]
        residuals = np.where(in_front[:, None], image - rays, 0) / sigmas[:, None]
        jacobian = (turns[:, :2] - image[:, :, None] * turns[:, 2:]) * (scale / sigmas)[
            :, None, None
        ]
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
        # Depth may hardly be known: damped, so that it does not leap.
        trace = np.trace(hessian, axis1=1, axis2=2)
        hessian += (_FOLLOWING_DAMPING * trace + 1e-12)[:, None, None] * np.eye(3)
        points = points - np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
    return points


def _scene(
    poses: np.ndarray,
    points: np.ndarray,
    camera_indices: np.ndarray,
    point_indices: np.ndarray,
    rays: np.ndarray,
    sigma: float,
) -> tuple[pycolmap.Reconstruction, dict[int, int]]:
    """As COLMAP has it, and the row of each of its points. In the camera's pixel a sigma is 1."""
    scene = pycolmap.Reconstruction()
    scene.add_camera_with_trivial_rig(
        pycolmap.Camera(
            model="SIMPLE_PINHOLE", width=_IMAGE_SIZE, height=_IMAGE_SIZE,
            params=[1 / sigma, 0, 0], camera_id=1,
        )
    )  # fmt: skip
    place = np.zeros(len(rays), np.int64)
    for index, pose in enumerate(poses):
        mine = np.flatnonzero(camera_indices == index)
        place[mine] = np.arange(len(mine))
        scene.add_image_with_trivial_frame(
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
            rows[scene.add_point3D(points[row], track, color)] = row
    return scene, rows


def _solve(
    scene: pycolmap.Reconstruction,
    is_fixed: np.ndarray,
    loss_width: float,
    maximum_iterations: int,
    threads: int,
) -> None:
    what = pycolmap.BundleAdjustmentConfig()
    for index in range(len(is_fixed)):
        what.add_image(index + 1)
        if is_fixed[index]:
            what.set_constant_rig_from_world_pose(index + 1)
    what.set_constant_cam_intrinsics(1)
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = loss_width
    solver = options.ceres.solver_options
    solver.max_num_iterations, solver.num_threads = maximum_iterations, threads
    solver.function_tolerance = _FUNCTION_TOLERANCE
    pycolmap.create_default_bundle_adjuster(options, what, scene).solve()


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
