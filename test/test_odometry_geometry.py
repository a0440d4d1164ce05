# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The odometry's parts on scenes whose answers are known."""

import cv2
import numpy as np
import pytest

from feature_booster_ros.matching.guided import match_along_lines, match_near
from feature_booster_ros.odometry.absolute_pose import estimate_pose, refine_pose, world_covariance
from feature_booster_ros.odometry.bundle_adjustment import adjust
from feature_booster_ros.odometry.camera_model import CameraModel
from feature_booster_ros.odometry.rigid import fraction_of, inverse, rigid, rotation_of, transformed
from feature_booster_ros.odometry.triangulation import triangulate

MATRIX = np.array([[400.0, 0, 320], [0, 410.0, 240], [0, 0, 1]])
SIGMA = 1 / 400


def scene(seed=0, count=200, noise=0.0, cameras=4):
    """Points, poses world to camera, and rays (cameras, N, 2)."""
    rng = np.random.default_rng(seed)
    points = rng.uniform([-4, -3, 6], [4, 3, 15], (count, 3))
    poses = [rigid(rotation_of([0, 0.02 * i, 0]), [-0.5 * i, 0.05 * i, 0]) for i in range(cameras)]
    rays = []
    for pose in poses:
        seen = transformed(pose, points)
        rays.append(seen[:, :2] / seen[:, 2:] + rng.normal(0, noise, (count, 2)))
    return points, np.stack(poses), np.stack(rays)


@pytest.mark.parametrize(
    ("model", "distortion"),
    [
        ("plumb_bob", [-0.25, 0.08, 0.001, -0.001, 0.01]),
        ("rational_polynomial", [0.1, -0.05, 0.001, 0.0005, 0.01, 0.12, -0.04, 0.005]),
        ("equidistant", [0.02, -0.01, 0.003, -0.0005]),
    ],
)
def test_rays_undo_the_lens(model, distortion):
    rays = np.stack(np.meshgrid(np.linspace(-0.6, 0.6, 7), np.linspace(-0.5, 0.5, 5)), -1)
    rays, distortion = rays.reshape(-1, 2), np.array(distortion)
    points = np.hstack([rays, np.ones((len(rays), 1))])[:, None]
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    still = np.zeros((1, 1, 3))
    pixels = project(points, still, still, MATRIX, distortion)[0]
    found, pixel = CameraModel(MATRIX, distortion, model).rays(pixels.reshape(-1, 2))
    assert np.allclose(found, rays, atol=2e-4)
    centre = np.linalg.norm(rays, axis=1).argmin()
    assert pixel[centre] == pytest.approx(1 / np.sqrt(400 * 410), rel=0.03)


def test_rays_beyond_a_fisheye_are_unknown():
    rays, _ = CameraModel(MATRIX, None, "equidistant").rays(np.array([[320.0, 240], [1000, 240]]))
    assert np.allclose(rays[0], 0) and np.isnan(rays[1]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((MATRIX, [0.1, 0.2], "plumb_bob"), "takes 4 or 5 coefficients, not 2"),
        ((MATRIX, [0.1] * 4, "double_sphere"), "is not one of"),
        ((MATRIX, [np.nan] * 4, "plumb_bob"), "is not finite"),
    ],
)
def test_wrong_lenses_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CameraModel(*arguments)


def test_points_are_triangulated():
    points, poses, rays = scene()
    sigmas = np.full(len(points), SIGMA)
    found = triangulate(poses[0], poses[3], rays[0], rays[3], sigmas, sigmas, 1.0)
    assert found.is_good.all() and np.allclose(found.points, points, atol=1e-6)
    far = triangulate(poses[0], poses[3], rays[0], rays[3], sigmas, sigmas, 60.0)
    assert not far.is_good.any()
    wrong = triangulate(poses[0], poses[3], rays[0], rays[3][::-1], sigmas, sigmas, 1.0)
    assert wrong.is_good.mean() < 0.1


def test_a_pose_is_found_among_outliers():
    points, poses, rays = scene(noise=SIGMA)
    sigmas = np.full(len(points), SIGMA)
    seen = rays[3].copy()
    seen[:60] = np.random.default_rng(1).uniform(-0.6, 0.6, (60, 2))
    found = estimate_pose(seen, sigmas, points, 400.0, 4.0)
    assert found.inliers[60:].mean() > 0.9 and found.inliers[:60].mean() < 0.1
    assert np.allclose(found.pose, poses[3], atol=0.02)


def test_covariance_is_the_spread_of_the_poses():
    """Of 300 poses from noise of the sigma stated, the mean squared Mahalanobis distance is 6."""
    points, poses, rays = scene(count=100)
    rng, distances = np.random.default_rng(0), []
    sigmas = np.full(len(points), SIGMA)
    truth = inverse(poses[2])
    for _ in range(300):
        seen = rays[2] + rng.normal(0, SIGMA, rays[2].shape)
        found = refine_pose(poses[2], seen, sigmas, points)
        pose = inverse(found.pose)
        turn = cv2.Rodrigues(pose[:3, :3] @ truth[:3, :3].T)[0].ravel()
        off = np.concatenate([pose[:3, 3] - truth[:3, 3], turn])
        distances.append(off @ np.linalg.solve(world_covariance(found), off))
    assert 5.0 < np.mean(distances) < 7.5


def test_bundle_adjustment_restores_the_scene():
    points, poses, rays = scene(noise=0.2 * SIGMA)
    rng = np.random.default_rng(3)
    cameras, indices = (
        np.repeat(np.arange(4), len(points)),
        np.tile(np.arange(len(points)), 4),
    )
    seen = rays.reshape(-1, 2).copy()
    seen[::41] += 0.2  # outliers
    moved = poses.copy()
    for pose in moved[2:]:
        pose[:3, 3] += rng.normal(0, 0.05, 3)
    start = points + rng.normal(0, 0.1, points.shape)
    fixed = np.array([True, True, False, False])
    result = adjust(
        moved, fixed, start, cameras, indices, seen, np.full(len(seen), SIGMA),
        maximum_iterations=30,
    )  # fmt: skip
    assert np.array_equal(result.poses[:2], poses[:2])
    assert np.allclose(result.poses[2:], poses[2:], atol=0.01)
    # Noise of 0.2 pixels, 10 m away, seen from a base of 1 m: 5 cm in depth.
    assert np.median(np.linalg.norm(result.points - points, axis=1)) < 0.05
    outlier = np.zeros(len(seen), bool)
    outlier[::41] = True
    assert result.residuals[outlier].min() > 10 > 3 > np.median(result.residuals[~outlier])


def test_bundle_adjustment_of_nothing():
    result = adjust(
        np.eye(4)[None], np.array([False]), np.zeros((0, 3)), np.zeros(0, int), np.zeros(0, int),
        np.zeros((0, 2)), np.zeros(0),
    )  # fmt: skip
    assert np.array_equal(result.poses[0], np.eye(4)) and len(result.residuals) == 0
    with pytest.raises(ValueError, match="sigmas has 1 rows"):
        adjust(
            np.eye(4)[None], np.array([False]), np.zeros((1, 3)), np.zeros(2, int),
            np.zeros(2, int), np.zeros((2, 2)), np.zeros(1),
        )  # fmt: skip


@pytest.mark.parametrize("binary", [False, True])
def test_guided_matching_is_brute_force_within_the_radius(binary):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 100, (80, 2)), rng.uniform(0, 100, (120, 2))
    if binary:
        left, right = (rng.integers(0, 256, (n, 32), dtype=np.uint8) for n in (80, 120))
        distances = np.unpackbits(left[:, None] ^ right[None], axis=2).sum(axis=2).astype(float)
    else:
        left, right = (rng.normal(size=(n, 16)).astype(np.float32) for n in (80, 120))
        left, right = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (left, right))
        distances = np.linalg.norm(left[:, None] - right[None], axis=2)
    distances[np.abs(a[:, None] - b[None]).max(axis=2) > 15] = np.inf
    pairs = match_near(a, left, b, right, 15.0, ratio=0.9)
    expected = {}
    for row, values in enumerate(distances):
        order = np.sort(values)
        if np.isfinite(order[0]) and order[0] < 0.9 * order[1]:
            column = int(values.argmin())
            if column not in expected or order[0] < distances[expected[column], column]:
                expected[column] = row
    assert len(pairs) > 5
    assert {(int(row), int(column)) for row, column in pairs} == {
        (row, column) for column, row in expected.items()
    }


def test_matching_along_lines_finds_what_lies_on_them():
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(40, 16)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    positions = np.stack([rng.uniform(0, 100, 40), np.arange(40) * 5.0], axis=1)
    lines = np.stack([np.zeros(40), np.ones(40), -positions[:, 1]], axis=1)
    lines[20:, 2] -= 50.0  # these lead elsewhere
    pairs = match_along_lines(lines, descriptors, positions, descriptors, np.full(40, 1.0))
    right = pairs[:, 0] == pairs[:, 1]
    assert set(pairs[right, 0]) == set(range(20))
    assert len(match_along_lines(lines[:0], descriptors[:0], positions, descriptors, [1.0])) == 0


def test_half_a_motion_twice_is_the_motion_on_an_axis():
    motion = rigid(rotation_of([0, 0.4, 0]), [0, 1.0, 0])
    half = fraction_of(motion, 0.5)
    assert np.allclose(half @ half, motion)
