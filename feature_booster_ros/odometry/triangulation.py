# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Points from two views, and their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rigid import camera_center, transform_points


@dataclass(frozen=True, eq=False)
class Triangulation:
    """Points of N pairs of rays.

    Attributes:
        points: (N, 3) float64 in the world.
        is_good: (N,) bool, whether a point is in front of both cameras, its parallax is large
            enough, and both reprojection errors are small enough.
        angles: (N,) float64, parallax: the angle between the two rays [degrees].
    """

    points: np.ndarray
    is_good: np.ndarray
    angles: np.ndarray


def triangulate(
    pose_a: np.ndarray,
    pose_b: np.ndarray,
    rays_a: np.ndarray,
    rays_b: np.ndarray,
    sigmas_a: np.ndarray,
    sigmas_b: np.ndarray,
    min_angle: float,
    max_residual: float = 2.5,
) -> Triangulation:
    """Triangulate pairs of rays linearly (Hartley and Zisserman, 12.2).

    Args:
        pose_a: (4, 4) of the first camera, world to camera.
        pose_b: (4, 4) of the second.
        rays_a: (N, 2) at depth 1, of the first camera.
        rays_b: (N, 2) of the second.
        sigmas_a: (N,) standard deviations of the first rays.
        sigmas_b: (N,) of the second.
        min_angle: least parallax of a good point [degrees].
        max_residual: largest reprojection error of a good point [sigmas].
    """
    if len(rays_a) == 0:
        return Triangulation(np.zeros((0, 3)), np.zeros(0, bool), np.zeros(0))
    rows = []
    for pose, rays in ((pose_a, rays_a), (pose_b, rays_b)):
        for axis in (0, 1):
            rows.append(rays[:, axis, None] * pose[2] - pose[axis])
    system = np.stack(rows, axis=1)
    # The point is the null vector of A; of A^T A, 4 x 4, it is found faster.
    _, vectors = np.linalg.eigh(np.einsum("nij,nik->njk", system, system))
    homogeneous = vectors[:, :, 0]
    weight = homogeneous[:, 3:]
    with np.errstate(divide="ignore", invalid="ignore"):
        points = homogeneous[:, :3] / weight
    points[~np.isfinite(points).all(axis=1)] = 0
    good = np.abs(weight[:, 0]) > 1e-9
    directions = []
    for pose, rays, sigmas in ((pose_a, rays_a, sigmas_a), (pose_b, rays_b, sigmas_b)):
        seen = transform_points(pose, points)
        in_front = seen[:, 2] > 1e-6
        depth = np.where(in_front, seen[:, 2], 1.0)
        error = np.linalg.norm(seen[:, :2] / depth[:, None] - rays, axis=1) / sigmas
        good &= in_front & (error < max_residual)
        directions.append(points - camera_center(pose))
    a, b = directions
    cosine = np.einsum("ij,ij->i", a, b) / np.maximum(
        np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12
    )
    angles = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return Triangulation(points, good & (angles > min_angle), angles)


def position_spreads(
    points: np.ndarray,
    centers: np.ndarray,
    sigmas: np.ndarray,
    point_indices: np.ndarray,
    distance_information: np.ndarray | None = None,
) -> np.ndarray:
    """Return one standard deviation (M, 3) of each point along its mean line of sight.

    Args:
        points: (M, 3) in the world.
        centers: (O, 3) of the cameras, one for each observation.
        sigmas: (O,) of the observations' rays.
        point_indices: (O,) rows of ``points``.
        distance_information: (O,) inverse variance of each measured distance from the camera, 0
            where none was measured; None without any.
    """
    sight = points[point_indices] - centers
    distances = np.maximum(np.linalg.norm(sight, axis=1), 1e-12)
    sight = sight / distances[:, None]
    mean = np.zeros((len(points), 3))
    np.add.at(mean, point_indices, sight)
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    # A ray measures a point across itself: along the mean line, by the sine of the angle to it.
    sine = 1 - np.einsum("ij,ij->i", sight, mean[point_indices]) ** 2
    information = np.bincount(
        point_indices, np.maximum(sine, 0) / (sigmas * distances) ** 2, len(points)
    )
    if distance_information is not None:
        # A measured distance is taken for that along the mean line.
        information += np.bincount(point_indices, distance_information, len(points))
    nearest = np.full(len(points), np.inf)
    np.minimum.at(nearest, point_indices, distances)
    # The distance itself is the largest standard deviation: the depth is unknown.
    known = np.minimum(1 / np.sqrt(np.maximum(information, 1e-300)), nearest)
    return mean * np.where(np.isfinite(known), known, 0.0)[:, None]
