# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The odometry's parts on scenes whose answers are known."""

import cv2
import numpy as np
import pytest

from feature_booster_ros.camera import Camera
from feature_booster_ros.features import Features
from feature_booster_ros.matching import match
from feature_booster_ros.matching.guided import match_along_segments, match_anywhere, match_near
from feature_booster_ros.odometry.absolute_pose import estimate_pose, refine_pose, world_covariance
from feature_booster_ros.odometry.bundle_adjustment import adjust
from feature_booster_ros.odometry.epipolar import epipolar_segments
from feature_booster_ros.odometry.initialization import estimate_two_view
from feature_booster_ros.odometry.landmark_map import Keyframe
from feature_booster_ros.odometry.rigid import (
    inverse,
    make_transform,
    rotation_matrix,
    scale_motion,
    transform_points,
)
from feature_booster_ros.odometry.settings import OdometrySettings
from feature_booster_ros.odometry.trajectory import Trajectory
from feature_booster_ros.odometry.triangulation import position_spreads, triangulate
from feature_booster_ros.odometry.view import View, make_view

MATRIX = np.array([[400.0, 0, 320], [0, 410.0, 240], [0, 0, 1]])
SIGMA = 1 / 400


def scene(seed=0, count=200, noise=0.0, cameras=4):
    """Points, poses world to camera, and rays (cameras, N, 2)."""
    rng = np.random.default_rng(seed)
    points = rng.uniform([-4, -3, 6], [4, 3, 15], (count, 3))
    poses = [
        make_transform(rotation_matrix([0, 0.02 * i, 0]), [-0.5 * i, 0.05 * i, 0])
        for i in range(cameras)
    ]
    rays = []
    for pose in poses:
        seen = transform_points(pose, points)
        rays.append(seen[:, :2] / seen[:, 2:] + rng.normal(0, noise, (count, 2)))
    return points, np.stack(poses), np.stack(rays)


def test_a_view_leaves_out_what_looks_too_far_aside():
    count = 4
    keypoints = np.array([[320.0, 240], [320 + 300 * np.arctan(4.9), 240],
                          [320 + 300 * np.arctan(5.1), 240], [1000, 240]])  # fmt: skip
    features = Features(
        keypoints.astype(np.float32), np.ones(count, np.float32), np.zeros(count, np.float32),
        np.ones(count, np.float32), np.eye(count, 8, dtype=np.float32),
    )  # fmt: skip
    matrix = [[300, 0, 320], [0, 300, 240], [0, 0, 1]]
    view = make_view(features, Camera(640, 480, matrix, [], "equidistant"), pixel_sigma=1.0)
    assert np.allclose(view.rays, [[0, 0], [4.9, 0]], atol=1e-3)
    # A fisheye's pixel at tan 4.9 spans 1 + 4.9^2 pinhole pixels outwards, sideways as many as r.
    stretch = np.sqrt((1 + 4.9**2) * 4.9 / np.arctan(4.9))
    assert np.allclose(view.sigmas, [1 / 300, stretch / 300], rtol=1e-3)


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
    found = estimate_pose(seen, sigmas, points, np.zeros_like(points), 400.0, 4.0)
    assert found.inliers[60:].mean() > 0.9 and found.inliers[:60].mean() < 0.1
    assert np.allclose(found.pose, poses[3], atol=0.02)


@pytest.mark.parametrize("depth_error", [0.0, 0.1])
def test_covariance_is_the_spread_of_the_poses(depth_error):
    """Of 300 poses from noise of the sigmas stated, the mean squared Mahalanobis distance is 6."""
    points, poses, rays = scene(count=100)
    rng, distances = np.random.default_rng(0), []
    sigmas = np.full(len(points), SIGMA)
    truth = inverse(poses[2])
    # The first camera, in the origin, has seen the points: how far they are is what is not known,
    # and it is one over the distance that triangulation errs in evenly.
    for _ in range(300):
        seen = rays[2] + rng.normal(0, SIGMA, rays[2].shape)
        known = points / (1 + depth_error * rng.normal(0, 1, (len(points), 1)))
        found = refine_pose(poses[2], seen, sigmas, known, depth_error * known)
        pose = inverse(found.pose)
        turn = cv2.Rodrigues(pose[:3, :3] @ truth[:3, :3].T)[0].ravel()
        off = np.concatenate([pose[:3, 3] - truth[:3, 3], turn])
        distances.append(off @ np.linalg.solve(world_covariance(found), off))
    assert 5.0 < np.mean(distances) < 7.5


def test_points_of_poor_depth_spoil_no_pose():
    """Half of the points are at a wrong depth and said to be: they count for the rotation alone."""
    points, poses, rays = scene(noise=SIGMA)
    sigmas = np.full(len(points), SIGMA)
    rng = np.random.default_rng(2)
    known = points.copy()
    half = np.arange(len(points)) < len(points) // 2
    known[half] *= rng.uniform(0.6, 1.6, (half.sum(), 1))
    spreads = np.where(half[:, None], 0.4 * known, 0.0)
    errors = [
        np.linalg.norm(inverse(refine_pose(*each).pose)[:3, 3] - inverse(poses[3])[:3, 3])
        for each in (
            (poses[3], rays[3], sigmas, known, spreads),
            (poses[3], rays[3], sigmas, known, np.zeros_like(known)),
        )
    ]
    assert errors[0] < 0.5 * errors[1]


def test_no_point_in_front_is_no_pose_and_no_error():
    points, poses, rays = scene()
    behind = make_transform(rotation_matrix([0, np.pi, 0]), np.zeros(3)) @ poses[0]
    found = refine_pose(behind, rays[0], np.full(len(points), SIGMA), points, 0 * points)
    assert not found.inliers.any()


def test_spread_is_that_of_triangulation():
    points, poses, rays = scene(count=60)
    rng = np.random.default_rng(0)
    sigmas = np.full(len(points), SIGMA)
    found = np.stack([
        triangulate(
            poses[0], poses[3], *(rays[k] + rng.normal(0, SIGMA, rays[k].shape) for k in (0, 3)),
            sigmas, sigmas, 0.1, max_residual=np.inf,
        ).points
        for _ in range(400)
    ])  # fmt: skip
    centers = np.repeat([inverse(poses[k])[:3, 3] for k in (0, 3)], len(points), axis=0)
    said = position_spreads(
        points, centers, np.full(2 * len(points), SIGMA), np.tile(np.arange(len(points)), 2)
    )
    length = np.linalg.norm(said, axis=1)
    along = np.einsum("tij,ij->ti", found - found.mean(axis=0), said / length[:, None])
    ratio = along.std(axis=0) / length
    assert 0.8 < np.median(ratio) < 1.25 and ratio.max() < 1.7 and ratio.min() > 0.6


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
        max_iterations=30,
    )  # fmt: skip
    assert np.array_equal(result.poses[:2], poses[:2])
    assert np.allclose(result.poses[2:], poses[2:], atol=0.01)
    # Noise of 0.2 pixels, 10 m away, seen from a base of 1 m: 5 cm in depth.
    assert np.median(np.linalg.norm(result.points - points, axis=1)) < 0.05
    outlier = np.zeros(len(seen), bool)
    outlier[::41] = True
    assert result.residuals[outlier].min() > 10 > 3 > np.median(result.residuals[~outlier])


def test_some_points_a_pose_are_enough_and_the_others_follow():
    points, poses, rays = scene(noise=0.2 * SIGMA)
    cameras, indices = np.repeat(np.arange(4), len(points)), np.tile(np.arange(len(points)), 4)
    moved = poses.copy()
    moved[2:, :3, 3] += 0.05
    start = points + np.random.default_rng(3).normal(0, 0.1, points.shape)
    everything, some = (
        adjust(
            moved, np.array([True, True, False, False]), start, cameras, indices,
            rays.reshape(-1, 2), np.full(4 * len(points), SIGMA), points_per_pose=count,
            max_iterations=30,
        )
        for count in (None, 40)
    )  # fmt: skip
    assert np.allclose(some.poses, everything.poses, atol=0.01)
    off = [np.median(np.linalg.norm(each.points - points, axis=1)) for each in (some, everything)]
    assert off[0] < 1.5 * off[1] < 0.05


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


def test_matching_along_segments_finds_what_lies_on_them():
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(40, 16)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    positions = np.stack([rng.uniform(0, 100, 40), np.arange(40) * 5.0], axis=1)
    begins = positions - [10.0, 0.0]
    ends = positions + [10.0, 0.0]
    begins[20:30, 1] += 50.0  # these lead elsewhere
    ends[20:30, 1] += 50.0
    ends[30:] = positions[30:] - [3.0, 0.0]  # and these end before it
    widths = np.full(40, 1.0)

    def right(begins, ends, others, **options):
        pairs = match_along_segments(
            begins, ends, descriptors, positions, others, widths, **options
        )
        return set(pairs[pairs[:, 0] == pairs[:, 1], 0].tolist())

    assert right(begins, ends, descriptors) == set(range(20))
    # A segment of no length is a point.
    assert right(positions, positions, descriptors) == set(range(40))
    noisy = descriptors + rng.normal(0, 0.1, descriptors.shape).astype(np.float32)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    away = np.linalg.norm(noisy - descriptors, axis=1)
    limit = float(np.median(away[:20]))
    assert right(begins, ends, noisy, max_distance=limit) == {
        i for i in range(20) if away[i] <= limit
    }
    nothing = match_along_segments(
        begins[:0], ends[:0], descriptors[:0], positions, descriptors, widths
    )
    assert nothing.shape == (0, 2)


@pytest.mark.parametrize("binary", [False, True])
def test_matching_along_segments_is_brute_force_near_them(binary):
    rng = np.random.default_rng(0)
    begins = rng.uniform(0, 100, (150, 2))
    ends = begins + rng.normal(0, 20, (150, 2))
    positions, widths = rng.uniform(0, 100, (200, 2)), rng.uniform(0.5, 4, 200)
    if binary:  # few bits, so that distances are often equal
        left, right = (rng.integers(0, 256, (n, 3), dtype=np.uint8) for n in (150, 200))
        distances = np.unpackbits(left[:, None] ^ right[None], axis=2).sum(axis=2).astype(float)
    else:
        left, right = (rng.normal(size=(n, 16)).astype(np.float32) for n in (150, 200))
        left, right = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (left, right))
        distances = np.linalg.norm(left[:, None] - right[None], axis=2)
    along = (ends - begins) / np.linalg.norm(ends - begins, axis=1, keepdims=True)
    offset = positions[None] - begins[:, None]
    reach = (offset * along[:, None]).sum(axis=2)
    across = np.abs(offset[..., 0] * along[:, None, 1] - offset[..., 1] * along[:, None, 0])
    beyond = np.maximum(-reach, reach - np.linalg.norm(ends - begins, axis=1)[:, None])
    distances[(across > widths) | (beyond > widths)] = np.inf
    limit = float(np.median(distances[np.isfinite(distances)]))
    expected = []
    for row, values in enumerate(distances):
        column, order = int(values.argmin()), np.sort(values)
        is_clear = order[0] < 0.9 * order[1] and order[0] <= limit
        if is_clear and distances[:, column].argmin() == row:
            expected.append((row, column))
    pairs = match_along_segments(
        begins, ends, left, positions, right, widths, ratio=0.9, max_distance=limit
    )
    assert len(expected) > 10 and list(map(tuple, pairs.tolist())) == expected


@pytest.mark.parametrize("binary", [False, True])
def test_matching_anywhere_is_that_of_match(binary):
    rng = np.random.default_rng(0)
    if binary:
        rows = rng.integers(0, 256, (90, 32), dtype=np.uint8)
        others = rows[::-1] ^ (rng.random((90, 32)) < 0.3).astype(np.uint8)
    else:
        rows = rng.normal(size=(90, 32)).astype(np.float32)
        others = rows[::-1] + rng.normal(0, 0.6, rows.shape).astype(np.float32)
        rows, others = (r / np.linalg.norm(r, axis=1, keepdims=True) for r in (rows, others))
    zeros = np.zeros(90, np.float32)
    a, b = (Features(np.zeros((90, 2), np.float32), zeros, zeros, zeros, r) for r in (rows, others))
    expected = {tuple(pair) for pair in match(a, b, ratio=0.8).indices.tolist()}
    assert {tuple(pair) for pair in match_anywhere(rows, others, 0.8).tolist()} == expected
    assert len(expected) > 30
    assert match_anywhere(rows[:0], others).shape == (0, 2)


def test_points_of_any_depth_lie_on_the_epipolar_segment():
    points, poses, rays = scene()
    motion = poses[3] @ inverse(poses[0])
    depths = transform_points(poses[0], points)[:, 2]
    begins, ends = epipolar_segments(rays[0], motion, depths.min())
    along = ends - begins
    length = np.linalg.norm(along, axis=1)
    along /= length[:, None]
    away = rays[3] - begins
    assert np.abs(away[:, 0] * along[:, 1] - away[:, 1] * along[:, 0]).max() < 1e-9
    share = np.einsum("ij,ij->i", away, along)
    assert (share > 0).all() and (share <= length + 1e-9).all()
    nearest = depths.argmin()
    assert share[nearest] == pytest.approx(length[nearest])
    # Backwards, past what the camera came from: no segment reaches behind the camera.
    back = make_transform(np.eye(3), [0, 0, -5.0])
    begins, ends = epipolar_segments(rays[0], back, 1.0)
    assert np.isfinite(begins).all() and np.isfinite(ends).all()
    assert np.allclose(np.sign(ends), np.sign(begins))


def test_a_trajectory_follows_its_keyframes_until_they_leave():
    view = View(Features.empty(4, False), np.zeros((0, 2)), np.zeros(0))
    keyframe = Keyframe(0, view, np.eye(4), np.zeros(0, int), np.zeros((6, 6)))
    trajectory = Trajectory(3)
    trajectory.add_fixed(0.0, np.eye(4))
    trajectory.add_fixed(1.0, make_transform(np.eye(3), [-1, 0, 0]))
    trajectory.add(2.0, keyframe, make_transform(np.eye(3), [-2, 0, 0]))
    trajectory.add(3.0, keyframe, make_transform(np.eye(3), [-3, 0, 0]))

    def places():
        return [(stamp, pose[0, 3]) for stamp, pose in trajectory.poses()]

    assert places() == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]
    keyframe.pose = make_transform(np.eye(3), [-10, 0, 0])
    trajectory.rescale(2.0)
    assert places() == [(1.0, 1.0), (2.0, 14.0), (3.0, 16.0)]
    trajectory.freeze([keyframe])
    keyframe.pose = np.eye(4)
    trajectory.rescale(2.0)
    assert places() == [(1.0, 1.0), (2.0, 14.0), (3.0, 16.0)]


def test_half_a_motion_twice_is_the_motion_on_an_axis():
    motion = make_transform(rotation_matrix([0, 0.4, 0]), [0, 1.0, 0])
    half = scale_motion(motion, 0.5)
    assert np.allclose(half @ half, motion)


def test_the_adjustment_weights_observations():
    """A coarse keypoint that is off by five pixels hardly moves what the fine ones determine."""
    rng = np.random.default_rng(0)
    points = np.c_[rng.uniform(-2, 2, (40, 2)), rng.uniform(4, 8, 40)]
    poses = np.stack([make_transform(np.eye(3), [-0.3 * number, 0, 0]) for number in range(4)])
    cameras, rows = np.repeat(np.arange(4), 40), np.tile(np.arange(40), 4)
    seen = np.concatenate([transform_points(pose, points) for pose in poses])
    rays = seen[:, :2] / seen[:, 2:]
    rays[cameras == 3] += np.where(rows[cameras == 3] % 2, 0.01, 0)[:, None]
    sigmas = np.full(len(rays), 0.001)
    errors = []
    for coarse in (1, 20):
        sigmas[(cameras == 3) & (rows % 2 == 1)] = 0.001 * coarse
        found = adjust(
            poses, np.array([True, True, False, False]), points, cameras, rows, rays, sigmas,
            loss_width=100.0,
        )  # fmt: skip
        errors.append(np.linalg.norm(found.poses[3] - poses[3]))
    assert errors[1] < 0.05 * errors[0]


def two_views(points, motion, sigma, seed=0):
    """Return two views of points, each with its own descriptor, and noise [rays]."""
    rng = np.random.default_rng(seed)
    descriptors = rng.integers(0, 256, (len(points), 32), np.uint8)
    flat = np.ones(len(points), np.float32)
    views = []
    for pose in (np.eye(4), motion):
        seen = transform_points(pose, points)
        rays = seen[:, :2] / seen[:, 2:] + rng.normal(0, sigma, (len(points), 2))
        features = Features(rays.astype(np.float32), flat, flat, flat, descriptors)
        views.append(View(features, rays, np.full(len(points), sigma)))
    return views


def test_a_map_begins_when_one_motion_is_clear():
    rng = np.random.default_rng(1)
    focal, settings = 500.0, OdometrySettings()
    depth = rng.uniform(4, 12, 200)
    points = np.c_[rng.uniform(-0.5, 0.5, (200, 2)) * depth[:, None], depth]
    motion = make_transform(rotation_matrix([0, 0.05, 0]), [0.6, 0, 0.3])
    found = estimate_two_view(*two_views(points, motion, 1 / focal), focal, settings)
    assert found.structure is not None and found.reason == ""
    direction = motion[:3, 3] / np.linalg.norm(motion[:3, 3])
    assert found.structure.motion[:3, 3] @ direction > np.cos(np.radians(5))
    # A fifth of the parallax, in a narrow field of view, fits other motions as well.
    near = make_transform(rotation_matrix([0, 0.05, 0]), [0.12, 0, 0.06])
    points[:, :2] *= 0.3
    found = estimate_two_view(*two_views(points, near, 1 / focal), focal, settings)
    assert found.structure is None and "parallax" in found.reason
