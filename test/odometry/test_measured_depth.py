# Copyright 2026 The feature_booster_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The odometry with measured depth: in meters from the first frame on."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from records import shared

from feature_booster_ros.depth import DepthSensor
from feature_booster_ros.evaluation.trajectories import trajectory_error
from feature_booster_ros.features import create_extractor
from feature_booster_ros.odometry import OdometrySettings, State, VisualOdometry
from feature_booster_ros.odometry.absolute_pose import refine_pose
from feature_booster_ros.odometry.bundle_adjustment import adjust
from feature_booster_ros.odometry.rigid import make_transform, rotation_matrix, transform_points
from feature_booster_ros.rendering.camera_paths import walk_through
from feature_booster_ros.rendering.sequence import RenderedSequence
from feature_booster_ros.sources import open_source

FRAMES = 14


def see(sequence, count):
    """Frames of a rendered sequence, with features that have its depth."""
    extractor, sensor = create_extractor("sift", max_features=600), DepthSensor()
    frames = list(sequence)[:count]
    return [
        (frame, sensor.read_aligned(extractor(frame.image), frame.depth, frame.image.shape))
        for frame in frames
    ]


@pytest.fixture(scope="module")
def flight():
    return see(RenderedSequence(frames=60, rate=10, depth=True), FRAMES)


class Turn:
    """A camera that turns on the spot by 8 degrees a frame."""

    def pose(self, time):
        pose = walk_through().pose(2.0).copy()
        pose[:3, :3] = pose[:3, :3] @ rotation_matrix([0.0, np.radians(80 * time), 0.0])
        return pose


def change(features, factor=None, depths=None):
    """Features with other depths: multiplied, or none."""
    if factor is None:
        return dataclasses.replace(features, depths=depths, depth_sigmas=depths)
    return features.with_depths(factor * features.depths, factor * features.depth_sigmas)


def follow(frames, **settings):
    odometry = VisualOdometry(frames[0][0].camera.matrix, settings=OdometrySettings(**settings))
    return odometry, [odometry.track(features, frame.stamp) for frame, features in frames]


def score(odometry, frames):
    truth = [(frame.stamp, frame.pose) for frame, _ in frames]
    return trajectory_error(odometry.trajectory(), truth, is_metric=True)


def test_it_is_metric_from_the_first_frame(flight):
    odometry, estimates = follow(flight)
    assert {estimate.state for estimate in estimates} == {State.TRACKING}
    assert estimates[0].reason == "map begun" and estimates[0].landmarks > 100
    assert np.array_equal(estimates[0].pose, np.eye(4))
    error = score(odometry, flight)
    assert error.scale == pytest.approx(1, abs=0.005)
    assert error.ate_share < 0.2
    # No drift of the scale: what is not known of the position is far below a hundredth of the way.
    deviation = np.sqrt(np.trace(estimates[-1].covariance[:3, :3]))
    assert deviation < 0.005 * np.linalg.norm(estimates[-1].pose[:3, 3])


def test_unknown_depths_are_as_no_depths(flight):
    """The results are the same to the last bit."""
    nothing = [(frame, change(features)) for frame, features in flight]
    unknown = [
        (frame, change(features, depths=np.full(len(features), np.nan, np.float32)))
        for frame, features in flight
    ]
    plain, estimates = follow(nothing)
    other, _ = follow(unknown)
    assert estimates[0].state is State.INITIALIZING
    for (_, a), (_, b) in zip(plain.trajectory(), other.trajectory(), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(plain.landmarks().positions, other.landmarks().positions)


def test_a_turn_on_the_spot_is_tracked_in_a_map():
    frames = see(RenderedSequence(frames=FRAMES, rate=10, depth=True, path=Turn()), FRAMES)
    odometry, estimates = follow(frames)
    for estimate, (frame, _) in zip(estimates, frames, strict=True):
        assert estimate.state is State.TRACKING and estimate.map_number == 0
        true = np.linalg.inv(frames[0][0].pose) @ frame.pose
        assert np.linalg.norm(estimate.pose[:3, 3]) < 0.02
        off = cv2.Rodrigues(estimate.pose[:3, :3].T @ true[:3, :3])[0]
        assert np.degrees(np.linalg.norm(off)) < 0.3


def test_a_frame_that_finds_few_landmarks_again_is_tracked(flight):
    """Each feature with depth is a landmark at once, and at a wide gap most are not found again."""
    rng = np.random.default_rng(0)
    frame, features = flight[1]
    points, descriptors = features.keypoints.copy(), features.descriptors.copy()
    others = rng.random(len(features)) < 0.9
    height, width = frame.image.shape[:2]
    points[others] = rng.uniform(0, (width - 1, height - 1), (others.sum(), 2))
    descriptors[others] = np.abs(rng.standard_normal((others.sum(), descriptors.shape[1])))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    changed = frame, dataclasses.replace(features, keypoints=points, descriptors=descriptors)
    _, (first, second) = follow([flight[0], changed])
    assert second.state is State.TRACKING and second.inliers < 0.15 * first.landmarks
    true = np.linalg.inv(flight[0][0].pose) @ frame.pose
    assert np.linalg.norm(second.pose[:3, 3] - true[:3, 3]) < 0.02


def test_depth_that_vanishes_leaves_a_map_in_meters(flight):
    frames = [
        (frame, features if number < 5 else change(features))
        for number, (frame, features) in enumerate(flight)
    ]
    odometry, estimates = follow(frames)
    assert {estimate.state for estimate in estimates} == {State.TRACKING}
    assert score(odometry, frames).scale == pytest.approx(1, abs=0.03)
    # The scale may drift from there on, and the covariance says so.
    with_depth = follow(flight)[1]
    assert np.trace(estimates[-1].covariance) > 2 * np.trace(with_depth[-1].covariance)


def test_a_map_of_unknown_scale_takes_that_of_depths(flight):
    frames = [
        (frame, change(features) if number < 8 else features)
        for number, (frame, features) in enumerate(flight)
    ]
    odometry, estimates = follow(frames)
    assert [estimate.reason for estimate in estimates if "scaled by" in estimate.reason]
    steps = np.linalg.norm(
        np.diff([estimate.pose[:3, 3] for estimate in estimates[9:]], axis=0), axis=1
    )
    true = np.linalg.norm(np.diff([frame.pose[:3, 3] for frame, _ in frames[9:]], axis=0), axis=1)
    assert np.allclose(steps, true, rtol=0.05)
    assert score(odometry, frames).scale == pytest.approx(1, abs=0.02)


def test_millimeters_labeled_as_meters_are_noticed_and_not_used(flight):
    frames = [
        (frame, features if number < 5 else change(features, 1000))
        for number, (frame, features) in enumerate(flight)
    ]
    odometry, estimates = follow(frames)
    for estimate in estimates[5:]:
        assert "depths contradict" in estimate.reason and "factor of 1e+03" in estimate.reason
    assert score(odometry, frames).scale == pytest.approx(1, abs=0.03)


def test_implausible_depths_are_told(flight):
    """Parallax cannot contradict one factor of all depths."""
    frames = [(frame, change(features, 1000)) for frame, features in flight[:4]]
    odometry, estimates = follow(frames)
    assert "check whether they are in meters" in estimates[-1].reason
    assert score(odometry, frames).scale == pytest.approx(1000, rel=0.02)


def test_depths_that_contradict_the_cameras_height_are_told():
    """KITTI's camera is 1.65 m above the road; a baseline twice as long puts it at 3.3 m."""
    extractor, sensor = create_extractor("sift", max_features=800), DepthSensor()
    with open_source(shared("sequences/kitti_stereo")) as source:
        frames = [
            (
                frame,
                sensor.match_stereo(extractor(frame.image), frame.image, frame.camera, frame.right),
            )
            for frame in list(source)[:10]
        ]
    odometry, estimates = follow(frames, camera_height=1.65)
    assert score(odometry, frames).scale == pytest.approx(1, abs=0.03)
    assert not any("camera_height" in estimate.reason for estimate in estimates)
    doubled = [(frame, change(features, 2)) for frame, features in frames]
    reasons = [estimate.reason for estimate in follow(doubled, camera_height=1.65)[1]]
    assert "times as high above the ground as camera_height" in reasons[-1]


def test_depths_of_any_error_are_noticed_in_a_map_in_meters(flight):
    sensor = DepthSensor()
    frames = [
        (frame, sensor.read_aligned(features, 1000 * frame.depth, frame.image.shape))
        for frame, features in flight[5:]
    ]
    odometry, estimates = follow(flight[:5] + frames)
    for estimate in estimates[5:]:
        assert "depths contradict" in estimate.reason
    assert score(odometry, flight).scale == pytest.approx(1, abs=0.03)


def test_depths_that_may_have_any_error_give_no_scale(flight):
    """Read as 3 km, what is 3 m has a standard deviation of 20 km by the sensor's model."""
    sensor = DepthSensor()
    frames = [
        (frame, sensor.read_aligned(features, 1000 * frame.depth, frame.image.shape))
        for frame, features in flight
    ]
    odometry, estimates = follow(frames)
    assert estimates[-1].state is State.TRACKING and not estimates[-1].is_metric
    assert "depths give no scale" in estimates[-1].reason
    plain, _ = follow([(frame, change(features)) for frame, features in flight])
    for (_, pose), (_, other) in zip(odometry.trajectory(), plain.trajectory(), strict=True):
        assert np.array_equal(pose, other)


def test_depths_that_come_while_a_keyframe_is_mapped_contradict_nothing(flight):
    gate = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        odometry = VisualOdometry(flight[0][0].camera.matrix, executor=executor)
        executor.submit(gate.wait)
        for frame, features in flight:
            with_depth = odometry.is_mapping
            estimate = odometry.track(features if with_depth else change(features), frame.stamp)
            if with_depth:
                break
        gate.set()
    assert with_depth and not estimate.is_metric
    assert estimate.reason == ""


def test_depths_of_another_time_are_noticed(flight):
    """Each frame has the depths that its pixels had half a second before."""
    sensor, late = DepthSensor(), 5
    frames = [
        (frame, sensor.read_aligned(features, before.depth, frame.image.shape))
        for (before, _), (frame, features) in zip(flight, flight[late:], strict=False)
    ]
    _, estimates = follow(frames)
    assert any("depths fit parallax badly" in estimate.reason for estimate in estimates)
    assert not any("depths" in estimate.reason for estimate in follow(flight)[1])


def test_a_map_that_drifted_is_scaled_to_depths_that_return(flight):
    """A map of depths that are a fifth too large is one whose scale has drifted by as much."""
    frames = [
        (frame, change(features, 1.2 if number < 2 else 1.0))
        for number, (frame, features) in enumerate(flight)
    ]
    _, estimates = follow(frames)
    assert "depths contradict" in estimates[2].reason
    (scaled,) = [estimate for estimate in estimates if "scaled by 0.83" in estimate.reason]
    after = estimates.index(scaled)
    step = np.linalg.norm(estimates[-1].pose[:3, 3] - estimates[after].pose[:3, 3])
    true = np.linalg.norm(frames[-1][0].pose[:3, 3] - frames[after][0].pose[:3, 3])
    assert step == pytest.approx(true, rel=0.05)


def test_a_new_map_after_a_loss_is_in_meters(flight):
    nothing = flight[0][1].select(slice(0))
    frames = [
        *flight[:4],
        *[(frame, nothing) for frame, _ in flight[4:6]],
        *[
            (frame, features.with_descriptors(np.roll(features.descriptors, 40, 1), ""))
            for frame, features in flight[6:]
        ],
    ]
    odometry, estimates = follow(frames, restart_after=3)
    assert estimates[-1].map_number == 1 and estimates[-1].state is State.TRACKING
    again = [number for number, each in enumerate(estimates) if each.map_number == 1]
    way = [estimates[again[0]], estimates[-1]]
    step = np.linalg.norm(way[1].pose[:3, 3] - way[0].pose[:3, 3])
    true = np.linalg.norm(frames[-1][0].pose[:3, 3] - frames[again[0]][0].pose[:3, 3])
    assert step == pytest.approx(true, rel=0.03)
    assert np.trace(way[0].covariance[:3, :3]) > 100 * np.trace(estimates[3].covariance[:3, :3])


def points_in_view(rng, count):
    return rng.uniform([-2, -1.5, 2], [2, 1.5, 8], (count, 3))


def test_depths_fix_the_scale_of_an_adjustment():
    """A fifth of them are of the background."""
    rng = np.random.default_rng(0)
    points = points_in_view(rng, 150)
    poses = np.stack([make_transform(np.eye(3), [-0.2 * number, 0, 0]) for number in range(4)])
    camera, point = np.repeat(np.arange(4), 150), np.tile(np.arange(150), 4)
    seen = np.concatenate([transform_points(pose, points) for pose in poses])
    rays = seen[:, :2] / seen[:, 2:] + rng.normal(0, 1e-3, (600, 2))
    sigmas = np.full(600, 0.02)
    inverse_depths = 1 / seen[:, 2] + rng.normal(0, 0.02, 600)
    flying = rng.random(600) < 0.2
    inverse_depths[flying] /= 2
    start = poses.copy()
    start[:, :3, 3] *= 1.3
    result = adjust(
        start, np.arange(4) == 0, 1.3 * points, camera, point, rays, np.full(600, 1e-3),
        max_iterations=50, inverse_depths=inverse_depths, inverse_depth_sigmas=sigmas,
    )  # fmt: skip
    assert result.poses[3, 0, 3] == pytest.approx(poses[3, 0, 3], rel=0.02)
    good = np.abs(result.depth_residuals) < 4
    assert good[~flying].mean() > 0.95 and good[flying].mean() < 0.4


def test_the_covariance_of_a_pose_with_depth_is_that_of_its_errors():
    """With landmarks of uncertain depth, so that reprojection and depth errors depend on it."""
    rng = np.random.default_rng(1)
    pose = make_transform(rotation_matrix([0.02, -0.05, 0.01]), [0.3, -0.1, 0.2])
    steps, informations = [], []
    for _ in range(150):
        points = points_in_view(rng, 40)
        spreads = 0.05 * points
        seen = transform_points(pose, points)
        known = points + rng.normal(size=(40, 1)) * spreads
        rays = seen[:, :2] / seen[:, 2:] + rng.normal(0, 2e-3, (40, 2))
        measured = 1 / seen[:, 2] + rng.normal(0, 0.005, 40)
        measured[::4] = np.nan
        found = refine_pose(
            pose, rays, np.full(40, 2e-3), known, spreads, measured, np.full(40, 0.005)
        )
        off = found.pose @ np.linalg.inv(pose)
        steps.append(np.r_[off[:3, 3], cv2.Rodrigues(off[:3, :3])[0].ravel()])
        informations.append(found.information)
    squared = [
        step @ information @ step for step, information in zip(steps, informations, strict=True)
    ]
    assert 5 < np.mean(squared) < 9  # 6 of a covariance that is exact
